//! Which addresses may be called: without `allow_private` only those of the public internet.
//!
//! Names are judged by what they resolve to, on every connect, so that a name cannot change its meaning between check and use.
//! A host that is written as an address never meets the resolver: it is judged where the sink is built.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// How far a sink may reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Anywhere,
    Public,
}

/// A name that leads to no address that may be called.
#[derive(Debug, thiserror::Error)]
#[error("`{host}` leads to {addresses}, which is not on the public internet; set `allow_private = true` if it may be called")]
pub(super) struct RefusedAddress {
    host: String,
    addresses: String,
}

/// Resolves with the system, and keeps what may be called.
pub(super) struct PublicOnly;

impl Resolve for PublicOnly {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            // The port is put in by who connects.
            let found: Vec<_> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            let kept = within(Reach::Public, name.as_str(), found)?;
            Ok(Box::new(kept.into_iter()) as Addrs)
        })
    }
}

/// The addresses within reach; Err where there are some, but none of them is.
pub(super) fn within(reach: Reach, host: &str, found: Vec<SocketAddr>) -> Result<Vec<SocketAddr>, RefusedAddress> {
    if reach == Reach::Anywhere || found.is_empty() {
        return Ok(found);
    }
    let (kept, refused): (Vec<_>, Vec<_>) = found.into_iter().partition(|address| is_public(address.ip()));
    if kept.is_empty() {
        let addresses = refused.iter().map(|address| format!("`{}`", address.ip())).collect::<Vec<_>>().join(", ");
        return Err(RefusedAddress { host: host.to_owned(), addresses });
    }
    Ok(kept)
}

/// Whether an address belongs to the public internet.
pub(super) fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// IPv4 that is set aside, by the IANA special-purpose registry: network and length of the prefix.
const SET_ASIDE_V4: [(Ipv4Addr, u32); 16] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),        // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),       // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),    // carriers
    (Ipv4Addr::new(127, 0, 0, 0), 8),      // loopback
    (Ipv4Addr::new(168, 63, 129, 16), 32), // a cloud's own services, though it looks public
    (Ipv4Addr::new(169, 254, 0, 0), 16),   // link-local, where clouds keep their metadata
    (Ipv4Addr::new(172, 16, 0, 0), 12),    // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),     // protocols
    (Ipv4Addr::new(192, 0, 2, 0), 24),     // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),   // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),   // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),    // benchmarks
    (Ipv4Addr::new(198, 51, 100, 0), 24),  // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),   // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),      // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),      // reserved and broadcast
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    !SET_ASIDE_V4.iter().any(|(network, length)| (address.to_bits() ^ network.to_bits()) >> (32 - length) == 0)
}

/// The one block of global unicast. Mapped IPv4, NAT64, unique local, link-local, multicast and loopback all lie outside of it.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
const SET_ASIDE_V6: [(Ipv6Addr, u32); 4] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),     // protocols, Teredo among them
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16),     // 6to4, which carries any IPv4 address
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),     // documentation
];

fn is_public_v6(address: Ipv6Addr) -> bool {
    let lies_in = |(network, length): &(Ipv6Addr, u32)| (address.to_bits() ^ network.to_bits()) >> (128 - length) == 0;
    lies_in(&GLOBAL_V6) && !SET_ASIDE_V6.iter().any(lies_in)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(addresses: &str, public: bool) {
        for address in addresses.split_ascii_whitespace() {
            assert_eq!(is_public(address.parse().expect("an address")), public, "{address}");
        }
    }

    #[test]
    fn only_the_public_internet_is_public() {
        check(
            "0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 100.127.255.255 127.0.0.1 127.255.255.255 168.63.129.16 \
                169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.8 192.0.2.1 192.88.99.1 192.168.1.1 198.18.0.1 \
                198.19.255.255 198.51.100.7 203.0.113.7 224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255",
            false,
        );
        check(
            "1.1.1.1 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.1 172.15.255.255 \
                172.32.0.0 192.0.1.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 223.255.255.255",
            true,
        );
        check(
            ":: ::1 ::127.0.0.1 ::ffff:127.0.0.1 ::ffff:1.1.1.1 64:ff9b::7f00:1 64:ff9b::101:101 64:ff9b:1::1 100::1 \
                2001::1 2001:1ff::1 2001:db8::1 2002:7f00:1::1 3fff::1 5f00::1 fc00::1 fd00::1 fe80::1 fec0::1 ff02::1",
            false,
        );
        check("2001:200::1 2606:4700:4700::1111 2a00:1450::1 3ffe::1", true);
    }

    #[test]
    fn private_addresses_are_left_out_and_a_name_with_no_other_is_refused() {
        let found = |texts: &[&str]| texts.iter().map(|text| text.parse().expect("an address")).collect::<Vec<SocketAddr>>();
        let mixed = found(&["10.0.0.1:0", "1.1.1.1:0"]);
        assert_eq!(within(Reach::Public, "x", mixed.clone()).expect("one is public"), found(&["1.1.1.1:0"]));
        assert_eq!(within(Reach::Anywhere, "x", mixed.clone()).expect("all may be called"), mixed);
        let err = within(Reach::Public, "inner.example", found(&["10.0.0.1:0", "[::1]:0"])).expect_err("none is public");
        insta::assert_snapshot!(err, @"`inner.example` leads to `10.0.0.1`, `::1`, which is not on the public internet; set `allow_private = true` if it may be called");
    }
}
