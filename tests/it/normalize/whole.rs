//! Two events as services read them, every member shown.

use super::{own, published};

#[test]
#[expect(clippy::too_many_lines, reason = "the whole event is shown")]
fn an_issue_is_told_whole() {
    let events = own("issue-updated-custom-field");
    insta::assert_json_snapshot!(published(events[0].clone())["data"], @r#"
    {
      "kind": "issue.updated",
      "origin": "webhook",
      "occurred_at": "2025-12-11T08:00:09.123Z",
      "received_at": "2025-12-11T10:46:40.000Z",
      "jira": {
        "event": "jira:issue_updated",
        "type_name": "issue_updated",
        "identifier": null,
        "retry": 1,
        "flow": "primary"
      },
      "actor": {
        "id": "557058:1a2b",
        "name": "Jane Doe",
        "email": null,
        "kind": "person"
      },
      "project": {
        "id": "10000",
        "key": "OPS",
        "name": "Operations",
        "kind": "software"
      },
      "issue": {
        "id": "10040",
        "key": "OPS-41",
        "url": "https://acme.atlassian.net/browse/OPS-41",
        "partial": false,
        "type": {
          "id": "10001",
          "name": "Bug",
          "subtask": false
        },
        "summary": "Disk full on db-3",
        "body": "See *runbook*",
        "status": {
          "id": "3",
          "name": "In Progress",
          "category": "indeterminate"
        },
        "priority": {
          "id": "2",
          "name": "High"
        },
        "resolution": null,
        "assignee": null,
        "reporter": {
          "id": "557058:1a2b",
          "name": "Jane Doe",
          "email": null,
          "kind": "person"
        },
        "creator": {
          "id": "557058:1a2b",
          "name": "Jane Doe",
          "email": null,
          "kind": "person"
        },
        "labels": [
          "red"
        ],
        "components": [
          {
            "id": "10200",
            "name": "Database"
          }
        ],
        "fix_versions": [],
        "affects_versions": [],
        "sprints": [
          {
            "id": "7",
            "name": "Sprint 3",
            "state": "active",
            "board_id": "2"
          }
        ],
        "parent": {
          "id": "10001",
          "key": "OPS-1"
        },
        "security": null,
        "created_at": "2025-12-10T08:00:00.000Z",
        "updated_at": "2025-12-11T08:20:00.120Z",
        "resolved_at": null,
        "due_on": "2025-12-24",
        "custom": {
          "customfield_10020": [
            {
              "id": 7,
              "name": "Sprint 3",
              "state": "active",
              "boardId": 2
            }
          ],
          "customfield_10016": 3.0,
          "customfield_10019": "0|i0002v:"
        }
      },
      "changes": [
        {
          "field": "customfield_10016",
          "name": "Story Points",
          "custom": true,
          "from": {
            "id": null,
            "text": "2"
          },
          "to": {
            "id": null,
            "text": "3"
          }
        },
        {
          "field": "customfield_10020",
          "name": "Sprint",
          "custom": true,
          "from": null,
          "to": {
            "id": "7",
            "text": "Sprint 3"
          }
        }
      ],
      "degraded": []
    }
    "#);
}

#[test]
#[expect(clippy::too_many_lines, reason = "the whole event is shown")]
fn a_comment_without_its_issue_names_it_by_id() {
    let events = own("comment-updated-server");
    insta::assert_json_snapshot!(published(events[0].clone())["data"], @r#"
    {
      "kind": "comment.updated",
      "origin": "webhook",
      "occurred_at": "2025-12-11T08:00:42.123Z",
      "received_at": "2025-12-11T10:46:40.000Z",
      "jira": {
        "event": "comment_updated",
        "type_name": null,
        "identifier": null,
        "retry": 1,
        "flow": "primary"
      },
      "actor": {
        "id": "lena",
        "name": "Lena Weiß",
        "email": null,
        "kind": "person"
      },
      "project": null,
      "issue": {
        "id": "10040",
        "key": null,
        "url": null,
        "partial": true,
        "type": null,
        "summary": null,
        "body": null,
        "status": null,
        "priority": null,
        "resolution": null,
        "assignee": null,
        "reporter": null,
        "creator": null,
        "labels": [],
        "components": [],
        "fix_versions": [],
        "affects_versions": [],
        "sprints": [],
        "parent": null,
        "security": null,
        "created_at": null,
        "updated_at": null,
        "resolved_at": null,
        "due_on": null,
        "custom": {}
      },
      "changes": [],
      "degraded": [],
      "comment": {
        "id": "10030",
        "author": {
          "id": "JIRAUSER10100",
          "name": "Ravi Rao",
          "email": "ravi@acme.example",
          "kind": "person"
        },
        "editor": {
          "id": "JIRAUSER10100",
          "name": "Ravi Rao",
          "email": "ravi@acme.example",
          "kind": "person"
        },
        "body": "ping",
        "created_at": "2025-12-11T08:21:40.000Z",
        "updated_at": "2025-12-11T08:25:40.250Z",
        "visibility": null,
        "internal": null
      }
    }
    "#);
}
