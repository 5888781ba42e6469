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

/// Answers that make no sense: no point, and no harm to the machine that tells the truth.
#[test]
fn answers_that_make_no_sense() {
    let disk = noise(1 << 20, 1);
    let offers: [fn(u64) -> ToServer; 8] = [
        |segment| ToServer::Offer { segment, state: vec![(PageKind::Data, 256)], chunks: vec![] },
        |segment| ToServer::Offer { segment, state: vec![(PageKind::Data, 255)], chunks: vec![([1; 32], 255)] },
        |segment| ToServer::Offer { segment, state: vec![(PageKind::Data, u16::MAX); 99], chunks: vec![] },
        |segment| ToServer::Offer { segment, state: vec![(PageKind::Data, 256)], chunks: vec![([1; 32], 0); 256] },
        |segment| ToServer::Frames { segment, frames: vec![(1, u32::MAX, true)] },
        |segment| ToServer::Failed { segment: segment + 77, why: String::new() },
        |segment| ToServer::Offer { segment: segment + 1, state: vec![(PageKind::Zero, 256)], chunks: vec![] },
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
        say(&link, &ToServer::Offer { segment, state: vec![(PageKind::Data, 256)], chunks });
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
