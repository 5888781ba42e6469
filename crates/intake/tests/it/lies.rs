//! Agents that do not keep to the protocol: the session ends, and nothing of anybody's is harmed.

use std::sync::Arc;

use backstay_env::link::Link;
use backstay_format::wire;
use backstay_format::wire::v1::{PageKind, ToAgent, ToServer};

use crate::world::{World, calm, noise, reading, task};

fn say(link: &Arc<dyn Link>, told: &ToServer) {
    // It may be closed by now.
    drop(link.send(&[&wire::encode(told)]));
}

fn hear(link: &Arc<dyn Link>) -> Option<ToAgent> {
    let message = link.receive().ok().flatten()?;
    Some(wire::decode(&message).unwrap().0)
}

fn greet(link: &Arc<dyn Link>) {
    say(link, &ToServer::Hello { program: "liar".into() });
    assert!(matches!(hear(link), Some(ToAgent::Welcome { .. })));
}

#[test]
fn what_is_not_the_protocol_ends_the_session() {
    let disk = noise(1 << 20, 1);
    let huge = || {
        let mut task = task(&disk);
        task.disks[0].size = u64::MAX;
        task
    };
    let crowd = || {
        let mut task = task(&disk);
        task.disks = vec![task.disks[0].clone(); 1000];
        task
    };
    let wordy = || {
        let mut task = task(&disk);
        task.note = "x".repeat(100_000);
        task
    };
    let wrong = [
        ToServer::Hello { program: "again".into() },
        ToServer::Verdict { still: true, stamps: Vec::new() },
        ToServer::Pass { changed: Vec::new() },
        ToServer::SetDown,
        ToServer::LookUp { rules: Vec::new() },
        ToServer::Frames { segment: 0, frames: Vec::new() },
        ToServer::CatchUp(huge()),
        ToServer::Protect(crowd()),
        ToServer::Protect(wordy()),
    ];
    let world = World::new();
    for request in wrong {
        world.with_link("alpha", |link| {
            greet(&link);
            say(&link, &request);
            assert_eq!(hear(&link), None, "{request:?}");
        });
    }
    for message in [&b""[..], b"abc", &[0xff; 64]] {
        world.with_link("alpha", |link| {
            greet(&link);
            link.send(&[message]).unwrap();
            assert_eq!(hear(&link), None);
        });
    }
    world.witness();
}

/// Rules that nobody may have end the session; what is no disk of the machine is not told of.
#[test]
fn rules_that_are_not_allowed() {
    let disk = noise(1 << 20, 1);
    let world = World::new();
    world.with_session("alpha", |session| {
        session.protect((task(&disk), &reading(&disk), &|| (true, vec![])), calm()).unwrap();
    });
    let wrong = [vec!["/".to_owned()], vec!["x".repeat(5000)], vec!["[a".to_owned()], vec!["/../x".to_owned()]];
    for rules in wrong {
        world.with_link("alpha", |link| {
            greet(&link);
            say(&link, &ToServer::Follow { number: 1, disks: vec![1] });
            assert!(matches!(hear(&link), Some(ToAgent::Following { .. })));
            say(&link, &ToServer::LookUp { rules: rules.clone() });
            assert_eq!(hear(&link), None, "{rules:?}");
        });
    }
    for (number, disks) in [(2, vec![1]), (1, vec![2]), (1, vec![1, 9])] {
        world.with_link("alpha", |link| {
            greet(&link);
            say(&link, &ToServer::Lacks { number, disks });
            assert!(matches!(hear(&link), Some(ToAgent::Refused { .. })));
        });
    }
    world.holds("alpha", 1, &disk);
}

/// Without end they are not looked up: each time takes an entry of the ledger.
#[test]
fn looked_up_without_end() {
    let disk = noise(1 << 20, 1);
    let world = World::new();
    world.with_session("alpha", |session| {
        session.protect((task(&disk), &reading(&disk), &|| (true, vec![])), calm()).unwrap();
    });
    world.with_link("alpha", |link| {
        greet(&link);
        say(&link, &ToServer::Follow { number: 1, disks: vec![1] });
        hear(&link);
        let mut answers = 0;
        loop {
            say(&link, &ToServer::LookUp { rules: vec!["*".repeat(3) + ".iso"] });
            let Some(told) = hear(&link) else { break };
            assert!(matches!(told, ToAgent::Found { .. }), "{told:?}");
            answers += 1;
            assert!(answers < 100);
        }
        assert!(answers > 3);
    });
    world.holds("alpha", 1, &disk);
}

/// Answers that make no sense: no point, and no harm to the machine that tells the truth.
#[test]
fn answers_that_make_no_sense() {
    let disk = noise(1 << 20, 1);
    let offers: [fn(u64) -> ToServer; 8] = [
        |segment| ToServer::Offer { segment, state: vec![(PageKind::Data, 256)], chunks: vec![], absent_behind: 0 },
        |segment| ToServer::Offer {
            segment,
            state: vec![(PageKind::Data, 255)],
            chunks: vec![([1; 32], 255)],
            absent_behind: 0,
        },
        |segment| ToServer::Offer {
            segment,
            state: vec![(PageKind::Data, u16::MAX); 99],
            chunks: vec![],
            absent_behind: 0,
        },
        |segment| ToServer::Offer {
            segment,
            state: vec![(PageKind::Data, 256)],
            chunks: vec![([1; 32], 0); 256],
            absent_behind: 0,
        },
        |segment| ToServer::Frames { segment, frames: vec![(1, u32::MAX, true)] },
        |segment| ToServer::Failed { segment: segment + 77, why: String::new() },
        |segment| ToServer::Offer {
            segment: segment + 1,
            state: vec![(PageKind::Zero, 256)],
            chunks: vec![],
            absent_behind: 0,
        },
        |segment| ToServer::Frames { segment, frames: vec![(0, 0, false); 2000] },
    ];
    for offer in offers {
        let world = World::new();
        world.with_session("honest", |session| {
            session.protect((task(&disk), &reading(&disk), &|| (true, vec![])), calm()).unwrap();
        });
        world.with_link("liar", |link| {
            greet(&link);
            say(&link, &ToServer::Protect(task(&disk)));
            let Some(ToAgent::Look { segment, .. }) = hear(&link) else { panic!("no question") };
            say(&link, &offer(segment));
            link.close();
            while let Some(told) = hear(&link) {
                assert!(!matches!(told, ToAgent::Made(_)));
            }
        });
        assert!(world.vault.machine("liar").is_err());
        world.holds("honest", 1, &disk);
    }
}

/// A disk of 4 TiB that nothing uses is compared at once, and to say that all of it changed takes no memory.
#[test]
fn a_huge_disk_that_changed_everywhere() {
    let pages = 1 << 30;
    let world = World::new();
    world.with_link("vast", |link| {
        greet(&link);
        let mut vast = task(&[]);
        vast.disks[0].size = pages * 4096;
        say(&link, &ToServer::CatchUp(vast));
        let at = loop {
            match hear(&link).unwrap() {
                ToAgent::Look { segment, pieces, .. } => {
                    let state = pieces.iter().map(|(from, to)| (PageKind::Absent, (to - from) as u16)).collect();
                    say(&link, &ToServer::Offer { segment, state, chunks: vec![], absent_behind: u64::MAX });
                }
                ToAgent::AskVerdict => say(&link, &ToServer::Verdict { still: true, stamps: vec![] }),
                ToAgent::CaughtUp(at) => break at,
                other => panic!("{other:?}"),
            }
        };
        let follow = ToServer::Follow { number: at.number, disks: vec![at.disks[0].disk] };
        say(&link, &follow);
        assert!(matches!(hear(&link), Some(ToAgent::Following { .. })));
        let all = || vec![(0, vec![(0, pages)])];
        say(&link, &ToServer::Absent { pages: all() });
        assert!(matches!(hear(&link), Some(ToAgent::Passed { extents: 1, .. })));
        say(&link, &ToServer::Pass { changed: all() });
        assert_eq!(hear(&link), None);
    });
}

/// Who asks whether a chunk is known that another machine stored learns nothing: it is wanted as if nobody had it.
#[test]
fn what_others_stored_is_not_told() {
    let disk = noise(1 << 20, 1);
    let world = World::new();
    world.with_session("honest", |session| {
        session.protect((task(&disk), &reading(&disk), &|| (true, vec![])), calm()).unwrap();
    });
    let (cut, name) = world.vault.keys_for_agents();
    let cutting = backstay_scan::Cutting::new(cut, name);
    let chunks: Vec<_> = cutting.chunks(&disk, 0..256).map(|(id, range)| (id.0, (range.len() / 4096) as u8)).collect();
    let count = chunks.len();
    world.with_link("curious", |link| {
        greet(&link);
        say(&link, &ToServer::Protect(task(&disk)));
        let Some(ToAgent::Look { segment, .. }) = hear(&link) else { panic!("no question") };
        say(&link, &ToServer::Offer { segment, state: vec![(PageKind::Data, 256)], chunks, absent_behind: 0 });
        assert_eq!(hear(&link), Some(ToAgent::Fetch { segment, wanted: vec![true; count] }));
    });
}

/// Who does not answer loses its place among those who compare whole disks; the others get theirs.
#[test]
fn who_stalls_is_not_waited_for() {
    let disk = noise(1 << 20, 1);
    let world = World::new().impatient();
    std::thread::scope(|scope| {
        for name in ["silent", "mute", "dumb"] {
            let (world, disk) = (&world, &disk);
            scope.spawn(move || {
                world.with_link(name, |link| {
                    greet(&link);
                    say(&link, &ToServer::Protect(task(disk)));
                    while let Some(told) = hear(&link) {
                        assert!(!matches!(told, ToAgent::Made(_)));
                    }
                });
            });
        }
        world.with_session("honest", |session| {
            session.protect((task(&disk), &reading(&disk), &|| (true, vec![])), calm()).unwrap();
        });
    });
    world.holds("honest", 1, &disk);
}
