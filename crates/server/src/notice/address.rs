//! Addresses that requests of ours must not go to by mistake: there, clouds hand out their machines' credentials.
//!
//! Never knows: who wants to go there.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Where clouds answer with credentials although the address is not link-local.
const OF_CLOUDS: [IpAddr; 3] = [
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
];

/// Why a request must not go to an address; `None`: it may.
pub(crate) fn refused(address: IpAddr) -> Option<&'static str> {
    let address = address.to_canonical();
    let link_local = match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    };
    if link_local || OF_CLOUDS.contains(&address) {
        return Some("it leads to an address where clouds hand out credentials");
    }
    match address.is_unspecified() || address.is_multicast() {
        true => Some("it leads to an address of no host"),
        false => None,
    }
}

/// Finds the addresses of names, and leaves out those that are refused: what was looked at is what is connected to.
struct Careful;

/// A resolver that leads to no refused address.
pub(crate) fn careful() -> Arc<impl Resolve> {
    Arc::new(Careful)
}

impl Resolve for Careful {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let all: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if let Some(why) = all.iter().find_map(|address| refused(address.ip())) {
                return Err(why.into());
            }
            let addresses: Addrs = Box::new(all.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_credentials_are_and_where_they_are_not() {
        for bad in [
            "169.254.169.254",
            "fe80::1",
            "::ffff:169.254.169.254",
            "fd00:ec2::254",
            "100.100.100.200",
            "0.0.0.0",
            "::",
        ] {
            assert!(refused(bad.parse().unwrap()).is_some(), "{bad}");
        }
        for good in ["127.0.0.1", "10.1.2.3", "192.168.1.1", "203.0.113.9", "fd00::1", "2001:db8::1", "::1"] {
            assert_eq!(refused(good.parse().unwrap()), None, "{good}");
        }
    }
}
