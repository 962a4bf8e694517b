#!/usr/bin/env python3
"""Another service that reads Ticketwire's events from a broker, with the broker's usual client and nothing of Ticketwire.

    consumer.py amqp amqp://USER:PASSWORD@HOST:PORT --exchange NAME.events --bind '*.all.issue.#' --count 100 --seconds 30
    consumer.py kafka HOST:PORT --topic NAME.events --count 100 --seconds 30

It rebuilds each message as a CloudEvent, validates it against schemas/event.schema.json, looks whether the changes of each issue come
in their order, and prints one line of JSON. It exits 0 if `--count` different events came within `--seconds` and nothing was wrong.
On stderr it says `reading` once no event can be missed any more, and what is wrong, without the content of any event.
"""
from __future__ import annotations

import argparse
import json
import re
import sys
import time
import uuid
from collections import Counter
from pathlib import Path

import confluent_kafka
import jsonschema
import pika

SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "event.schema.json"
RAW = ("raw", "raw_base64", "raw_omitted")
CHANGE = re.compile(r"[^:]+:issue:[^:]+:change:(\d+)")
KIND = re.compile(r"dev\.ticketwire\.(.+)\.v1")


def say(text):
    print(text, file=sys.stderr, flush=True)


def parsed(body):
    """The data; what is no object of JSON is none, and the schema will say so."""
    try:
        data = json.loads(body)
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}


def from_rabbitmq(properties, body):
    """Attributes are headers with a prefix; `datacontenttype` is a property of AMQP."""
    attributes = {name.removeprefix("cloudEvents:"): value for name, value in (properties.headers or {}).items() if name.startswith("cloudEvents:")}
    return attributes | {"datacontenttype": properties.content_type, "data": parsed(body)}


def from_kafka(message):
    """Likewise, with another prefix; `datacontenttype` is the header `content-type`."""
    headers = {name: value.decode() for name, value in message.headers() or []}
    attributes = {name.removeprefix("ce_"): value for name, value in headers.items() if name.startswith("ce_")}
    return attributes | {"datacontenttype": headers.get("content-type"), "data": parsed(message.value())}


class Report:
    """What was read. An event may come more than once: its `id` tells."""

    def __init__(self, schema):
        self.validator = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
        self.seen, self.newest, self.kinds, self.raw = set(), {}, Counter(), Counter()
        self.repeats = self.valid = self.out_of_order = 0

    def take(self, event, wrong):
        """`wrong`: what the broker's side of the message shows already."""
        if event.get("id") in self.seen:
            self.repeats += 1
            return
        self.seen.add(event.get("id"))
        last = next(reversed(event["data"]), None)
        if last in RAW:
            event["data"].pop(last)
            self.raw[last] += 1
        wrong += [f"the member `{name}` is not the last" for name in RAW if name in event["data"]]
        wrong += [f"{error.json_path}: not as `{error.validator}` says" for error in self.validator.iter_errors(event)]
        kind = KIND.fullmatch(event.get("type", ""))
        if not kind or kind[1] != event["data"].get("kind"):
            wrong.append("`type` does not fit the kind")
        self.kinds[str(event["data"].get("kind"))] += 1
        self.valid += not wrong
        for text in wrong:
            say(f"wrong: {event.get('id')}: {text}")
        self.follow(event)

    def follow(self, event):
        """Jira numbers the changes of an issue; the number is in the id of the event."""
        change = CHANGE.fullmatch(event.get("id", ""))
        if not change:
            return
        key, number = event.get("partitionkey"), int(change[1])
        if number < self.newest.get(key, 0):
            self.out_of_order += 1
            say(f"out of order: {event['id']} after change {self.newest[key]}")
        self.newest[key] = max(number, self.newest.get(key, 0))

    def line(self):
        return json.dumps({"read": len(self.seen), "valid": self.valid, "kinds": dict(sorted(self.kinds.items())), "out_of_order": self.out_of_order,
                           "repeats": self.repeats, "raw": dict(sorted(self.raw.items()))})


def read_rabbitmq(options, report, until):
    connection = pika.BlockingConnection(pika.URLParameters(options.broker))
    channel = connection.channel()
    channel.exchange_declare(options.exchange, passive=True)    # the service makes it
    if options.queue:                                           # outlives this program, so nothing is missed while it is away
        channel.queue_declare(options.queue, durable=True, arguments={"x-queue-type": "quorum", "x-single-active-consumer": True})
    else:
        options.queue = channel.queue_declare("", exclusive=True).method.queue
    for key in options.bind or ["*.all.#"]:
        channel.queue_bind(options.queue, options.exchange, key)
    channel.basic_qos(prefetch_count=50)
    say("reading")
    for method, properties, body in channel.consume(options.queue, inactivity_timeout=0.5):
        if method:
            event = from_rabbitmq(properties, body)
            fits = re.fullmatch(rf"\d+\.all\.{re.escape(str(event['data'].get('kind')))}\.[\w-]+", method.routing_key)
            report.take(event, [] if fits and properties.delivery_mode == 2 else ["the routing key or the delivery mode"])
            channel.basic_ack(method.delivery_tag)              # only after it was dealt with
        if len(report.seen) >= options.count or time.monotonic() >= until:
            break
    connection.close()


def read_kafka(options, report, until):
    settings = {"bootstrap.servers": options.broker, "group.id": options.group, "auto.offset.reset": "earliest", "enable.auto.commit": False}
    consumer = confluent_kafka.Consumer(settings | dict(text.split("=", 1) for text in options.X))
    consumer.subscribe([options.topic])
    say("reading")
    failed = None
    while len(report.seen) < options.count and time.monotonic() < until:
        message = consumer.poll(0.5)
        if message is None:
            continue
        if message.error():
            if str(message.error()) != failed:
                failed = str(message.error())
                say(f"wrong: {failed}")
            continue
        headers = dict(message.headers() or [])
        if "ticketwire-target" not in headers:                  # else it is for one sink of Ticketwire and for nobody else
            event = from_kafka(message)
            report.take(event, [] if (message.key() or b"").decode() == event.get("partitionkey") else ["the key is not the partition key"])
        consumer.commit(message)                                # only after it was dealt with
    consumer.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    brokers = parser.add_subparsers(dest="kind", required=True)
    amqp = brokers.add_parser("amqp", help="RabbitMQ")
    amqp.add_argument("--exchange", default="ticketwire.events")
    amqp.add_argument("--bind", action="append", metavar="KEY", help="a pattern of routing keys, more than once if need be; by default `*.all.#`")
    amqp.add_argument("--queue", help="a durable queue, kept at the end; without it a queue that goes with the connection")
    kafka = brokers.add_parser("kafka", help="Kafka")
    kafka.add_argument("--topic", default="ticketwire.events")
    kafka.add_argument("--group", default=f"foreign-{uuid.uuid4().hex[:12]}", help="by default a new one, which begins at the oldest record")
    kafka.add_argument("-X", action="append", default=[], metavar="NAME=VALUE", help="a setting of the client, as in `sasl.username=reader`")
    for broker in (amqp, kafka):
        broker.add_argument("broker", help="where it is")
        broker.add_argument("--count", type=int, required=True, help="how many different events are expected")
        broker.add_argument("--seconds", type=float, default=30, help="how long they may take to come")
    options = parser.parse_args()
    report = Report(json.loads(SCHEMA.read_text()))
    try:
        {"amqp": read_rabbitmq, "kafka": read_kafka}[options.kind](options, report, time.monotonic() + options.seconds)
    except (pika.exceptions.AMQPError, confluent_kafka.KafkaException) as error:
        say(f"wrong: {options.kind}: {error!r}")
        return 1
    print(report.line())
    return 0 if len(report.seen) == report.valid == options.count and not report.out_of_order else 1


if __name__ == "__main__":
    sys.exit(main())
