//! Which room may import which. Absence is what keeps the rooms apart, so every missing arrow has its reason here.
//!
//! Never knows: what is inside the rooms.

use serde_json::Value;

use super::Finding;

/// One room and its arrows.
struct Room {
    name: &'static str,
    /// What it may import.
    may: &'static [&'static str],
    /// What its tests may import on top.
    tests_may: &'static [&'static str],
    /// Why it may import nothing else.
    why: &'static str,
}

const ROOMS: &[Room] = &[
    Room {
        name: "format",
        may: &[],
        tests_may: &[],
        why: "format is the one address for compatibility: bytes only, no I/O, clock or keys",
    },
    Room {
        name: "seal",
        may: &["format"],
        tests_may: &[],
        why: "seal knows keys and envelopes, not where they are stored: an audit of it must stay small",
    },
    Room {
        name: "env",
        may: &["format"],
        tests_may: &[],
        why: "env carries bytes and must never know what they mean, so that engines run simulated",
    },
    Room {
        name: "store",
        may: &["format", "seal", "env"],
        tests_may: &[],
        why: "store dedups and reclaims chunks; with volumes or points in it, it would grow a policy",
    },
    Room {
        name: "timeline",
        may: &["format"],
        tests_may: &[],
        why: "timeline is pure, so that its policies are proved by tables: no packs, I/O or clock",
    },
    Room {
        name: "scan",
        may: &["format", "seal", "env"],
        tests_may: &[],
        why: "scan cuts and names what a disk holds, on the machine it belongs to: what the store has must be out of its reach",
    },
    Room {
        name: "vault",
        may: &["format", "seal", "env", "scan", "store", "timeline"],
        tests_may: &["verify"],
        why: "vault joins the store and the timeline; what is read back out of it lies above it",
    },
    Room {
        name: "items",
        may: &["format", "env"],
        tests_may: &[],
        why: "items parses hostile bytes: keys, the store and the network must be out of its reach",
    },
    Room {
        name: "recover",
        may: &["format", "env", "items", "store", "timeline", "vault"],
        tests_may: &["seal"],
        why: "recover reads back and must never know how a store is written: a restore cannot harm",
    },
    Room {
        name: "verify",
        may: &[],
        tests_may: &["format", "seal", "env", "store", "timeline", "vault"],
        why: "verify is the independent witness, written from docs/format alone: it shares no code with what it judges",
    },
    Room {
        name: "sim",
        may: &[
            "format", "seal", "env", "scan", "store", "timeline", "vault", "items", "recover", "agent", "intake",
            "verify",
        ],
        tests_may: &[],
        why: "sim runs engines in one process from one seed: the command line and the kernel's hooks have no place there",
    },
    Room {
        name: "capture",
        may: &["format", "env"],
        tests_may: &[],
        why: "capture reaches into the kernel: it names what changed, and nothing of ours hangs on the kernel but it",
    },
    Room {
        name: "hypervisor",
        may: &["env"],
        tests_may: &[],
        why: "hypervisor talks to whoever holds a socket: keys, the store and the kernel's hooks must be out of its reach",
    },
    Room {
        name: "audit",
        may: &["format", "seal", "env"],
        tests_may: &[],
        why: "audit proves to outsiders what happened: an auditor runs it with no store, no keys of a vault and no server",
    },
    Room {
        name: "agent",
        may: &["format", "seal", "env", "scan"],
        tests_may: &["store", "timeline", "vault", "server"],
        why: "agent can add points and nothing else: reading, deletion and the kernel's hooks must be out of its reach",
    },
    Room {
        name: "intake",
        may: &["format", "seal", "env", "scan", "vault", "items", "recover"],
        tests_may: &["agent", "store", "timeline", "verify"],
        why: "intake is where hostile agents end: people, HTTP and SQL are out of their reach, and it runs simulated",
    },
    Room {
        name: "server",
        may: &["format", "seal", "env", "scan", "intake", "audit", "store", "timeline", "vault", "items", "recover"],
        tests_may: &["agent", "verify"],
        why: "server is for people and agents over the network: HTTP and SQL end here, and it captures nothing itself",
    },
    Room {
        name: "cli",
        may: &[
            "format",
            "seal",
            "env",
            "scan",
            "audit",
            "store",
            "timeline",
            "vault",
            "items",
            "recover",
            "capture",
            "hypervisor",
            "intake",
            "agent",
            "server",
        ],
        tests_may: &["verify"],
        why: "cli ships to users: neither the simulator nor the witness belongs in the product",
    },
    Room {
        name: "bench",
        may: &["format", "env", "seal", "store", "vault", "agent"],
        tests_may: &[],
        why: "bench measures what no command line reaches at full size; nothing of the product may come to need it",
    },
    Room {
        name: "torture",
        may: &[],
        tests_may: &[],
        why: "torture proves the program as people run it, and shares no code with what it judges",
    },
    Room {
        name: "guests",
        may: &[],
        tests_may: &[],
        why: "guests try the product as people use it, by its command line",
    },
    Room {
        name: "xtask",
        may: &[],
        tests_may: &[],
        why: "the scripts use the product as people do, by its command line",
    },
];

/// A library that lives behind one door.
struct Fenced {
    library: &'static str,
    rooms: &'static [&'static str],
    why: &'static str,
}

const FENCED: &[Fenced] = &[
    Fenced {
        library: "aws-lc-rs",
        rooms: &["seal", "verify"],
        why: "ciphers belong to seal; verify reads with its own",
    },
    Fenced { library: "argon2", rooms: &["seal", "verify"], why: "keys belong to seal; verify reads with its own" },
    Fenced { library: "object_store", rooms: &["env"], why: "S3 is one kind of home behind env's seam" },
    Fenced { library: "tokio", rooms: &["env", "server"], why: "engines run simulated, so no runtime may reach them" },
    Fenced { library: "axum", rooms: &["server"], why: "HTTP ends in server" },
    Fenced { library: "sqlx", rooms: &["server"], why: "SQL ends in server; what matters is in the store" },
    Fenced {
        library: "ed25519-dalek",
        rooms: &["seal", "audit"],
        why: "signatures are keys, and belong where they can be looked over: in seal, and in the log that others verify",
    },
    Fenced {
        library: "fuser",
        rooms: &["recover", "torture"],
        why: "FUSE is one way of reading back, and makes a slow disk",
    },
    Fenced { library: "clap", rooms: &["cli"], why: "the library never meets the user" },
    Fenced { library: "indicatif", rooms: &["cli"], why: "the library never meets the user" },
    Fenced { library: "anyhow", rooms: &[], why: "errors answer the caller's question; a bag of text does not" },
];

/// Checks the packages of `cargo metadata --no-deps`.
pub(super) fn check(metadata: &Value) -> Vec<Finding> {
    let packages = metadata["packages"].as_array().map(Vec::as_slice).unwrap_or_default();
    packages.iter().flat_map(package).collect()
}

fn package(package: &Value) -> Vec<Finding> {
    let name = text(&package["name"]);
    let room = name.strip_prefix("backstay-").unwrap_or(name);
    let place = text(&package["manifest_path"]).to_owned();
    let Some(known) = ROOMS.iter().find(|known| known.name == room) else {
        return vec![Finding::new(place, format!("room `{room}` has no row in the table of arrows"))];
    };
    let dependencies = package["dependencies"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut findings = Vec::new();
    for dependency in dependencies {
        let target = text(&dependency["name"]);
        let in_tests = text(&dependency["kind"]) == "dev";
        if let Some(target) = target.strip_prefix("backstay-") {
            let allowed = known.may.contains(&target) || in_tests && known.tests_may.contains(&target);
            if !allowed {
                let where_from = if in_tests { "tests of " } else { "" };
                let sentence = format!("{where_from}{room} must not import {target}: {}", known.why);
                findings.push(Finding::new(place.clone(), sentence));
            }
        } else if let Some(fence) = FENCED.iter().find(|fence| fence.library == target)
            && !in_tests
            && !fence.rooms.contains(&room)
        {
            let sentence = format!("{room} must not use {target}: {}", fence.why);
            findings.push(Finding::new(place.clone(), sentence));
        }
    }
    findings
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn findings(room: &str, kind: Value, target: &str) -> usize {
        let dependency = json!({ "name": target, "kind": kind });
        check(&json!({ "packages": [{ "name": room, "manifest_path": "x", "dependencies": [dependency] }] })).len()
    }

    #[test]
    fn arrows() {
        assert_eq!(findings("backstay-store", Value::Null, "backstay-seal"), 0);
        assert_eq!(findings("backstay-store", Value::Null, "backstay-timeline"), 1);
        assert_eq!(findings("backstay-verify", Value::Null, "backstay-format"), 1);
        assert_eq!(findings("backstay-verify", json!("dev"), "backstay-format"), 0);
        assert_eq!(findings("backstay-unheard-of", Value::Null, "serde"), 1);
        assert_eq!(findings("backstay-vault", Value::Null, "clap"), 1);
        assert_eq!(findings("backstay-vault", json!("build"), "backstay-cli"), 1);
    }

    #[test]
    fn no_cycles() {
        let mut done: Vec<&str> = Vec::new();
        while done.len() < ROOMS.len() {
            let ready = |room: &&Room| !done.contains(&room.name) && room.may.iter().all(|name| done.contains(name));
            let next = ROOMS.iter().find(ready).map(|room| room.name);
            assert!(next.is_some(), "a cycle among the rooms not in {done:?}");
            done.extend(next);
        }
    }
}
