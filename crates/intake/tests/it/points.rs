//! Points by agents.

use backstay_agent::AgentError;
use backstay_format::wire::v1::Refusal;

use crate::world::{World, calm, noise, reading, task, told};

const PAGE: usize = 4096;

#[test]
fn compared_and_followed() {
    let world = World::new();
    let mut disk = vec![0; 6 << 20];
    disk[9 * PAGE..9 * PAGE + (1 << 20)].copy_from_slice(&noise(1 << 20, 1));
    disk[1000 * PAGE..1100 * PAGE].copy_from_slice(&noise(100 * PAGE, 2));
    let first = world.with_session("alpha", |session| {
        assert_eq!(session.welcome().machine, "alpha");
        assert_eq!(session.boundary().unwrap(), None);
        assert_eq!(session.suspended().unwrap(), None);
        session.promise_nothing().unwrap();
        session.protect((task(&disk), &reading(&disk), &|| (true, vec![vec![3]])), calm()).unwrap()
    });
    assert!(first.still && first.at.disks[0].stamp == [3] && first.read > 0);
    world.holds("alpha", first.at.number, &disk);

    // Another session goes on.
    world.with_session("alpha", |session| {
        let mut at = session.boundary().unwrap().unwrap();
        assert_eq!(at, first.at);
        for round in 0..5u64 {
            let pages = [(round * 3, round * 3 + 2), (300 + round, 301 + round)];
            for page in pages.iter().flat_map(|(from, to)| *from..*to) {
                let place = page as usize * PAGE;
                disk[place..place + PAGE].copy_from_slice(&noise(PAGE, page * 100 + round));
            }
            let numbers = at.disks.iter().map(|disk| disk.disk).collect();
            let mut following = session.follow(at.number, numbers).unwrap();
            assert_eq!(following.in_making().0, at.next_point);
            following.pass((vec![(0, pages[..1].to_vec())], &reading(&disk)), calm()).unwrap();
            following.pass((vec![(0, pages[1..].to_vec())], &reading(&disk)), calm()).unwrap();
            let unused = 1000 + round * 10..1005 + round * 10;
            disk[unused.start as usize * PAGE..unused.end as usize * PAGE].fill(0);
            following.absent(0, vec![(unused.start, unused.end)]).unwrap();
            assert!(following.extents() > 0);
            let made = following.publish(told()).unwrap();
            assert!(made.changed == 3 && made.held == 5 && made.note == "told" && made.at.disks[0].stamp == [7]);
            world.holds("alpha", made.at.number, &disk);
            at = made.at;
        }
        // Set down: nothing is lost, and no point is there.
        let numbers: Vec<u32> = at.disks.iter().map(|disk| disk.disk).collect();
        disk[..PAGE].fill(9);
        let mut following = session.follow(at.number, numbers.clone()).unwrap();
        following.pass((vec![(0, vec![(0, 1)])], &reading(&disk)), calm()).unwrap();
        let set_down = following.set_down().unwrap();
        assert!(set_down.begun.is_none() && set_down.number == at.next_point);
        // Dropped: abandoned, and the session goes on.
        drop(session.follow(set_down.number, numbers.clone()).unwrap());
        let made = session.follow(set_down.number, numbers.clone()).unwrap().publish(told()).unwrap();
        world.holds("alpha", made.at.number, &disk);
        // Where somebody was before.
        let late = session.follow(at.number, numbers).map(drop);
        assert!(matches!(late, Err(AgentError::Refused { kind: Refusal::Overtaken, .. })));
    });
    let log = world.log.all();
    assert_eq!(log.first().map(String::as_str), Some("alpha: a test came"));
    assert!(log.iter().filter(|line| line.contains("point")).count() == 7, "{log:?}");
    assert_eq!(log.last().map(String::as_str), Some("alpha: left in peace"));
}

/// The first point of all may be one of what changed since the disks were compared.
#[test]
fn compared_without_a_point_and_followed() {
    let world = World::new();
    let mut disk = noise(2 << 20, 3);
    world.with_session("alpha", |session| {
        let at = session.catch_up((task(&disk), &reading(&disk)), calm()).unwrap();
        assert!(at.begun.is_none());
        disk[..PAGE].fill(9);
        let mut following = session.follow(at.number, vec![at.disks[0].disk]).unwrap();
        following.pass((vec![(0, vec![(0, 1)])], &reading(&disk)), calm()).unwrap();
        let made = following.publish(told()).unwrap();
        world.holds("alpha", made.at.number, &disk);
    });
}

/// Machines with the same bytes, at once: each has its own timeline, and the store has the bytes once.
#[test]
fn many_at_once() {
    let world = World::new();
    let disk = noise(3 << 20, 4);
    let names = ["alpha", "beta", "gamma", "delta", "epsilon"];
    std::thread::scope(|scope| {
        for name in names {
            let (world, disk) = (&world, &disk);
            scope.spawn(move || {
                world.with_session(name, |session| {
                    session.protect((task(disk), &reading(disk), &|| (true, vec![])), calm()).unwrap();
                });
            });
        }
    });
    for name in names {
        world.holds(name, 1, &disk);
    }
    assert!(world.intake.present().is_empty());
}

/// A newer session of a machine ends the older one.
#[test]
fn one_session_of_a_machine() {
    let world = World::new();
    world.with_session("alpha", |older| {
        world.with_session("alpha", |newer| {
            assert_eq!(newer.boundary().unwrap(), None);
            assert_eq!(world.intake.present(), ["alpha"]);
            assert!(matches!(older.boundary(), Err(AgentError::Lost(_))));
        });
    });
}

/// A disk that fails is told, and no point appears; the next one does.
#[test]
fn a_disk_that_fails() {
    use backstay_env::volume::Volume;

    struct Gone<'d>(&'d Vec<u8>);
    impl Volume for Gone<'_> {
        fn size(&self) -> u64 {
            self.0.size()
        }

        fn read_at(&self, offset: u64, buf: &mut [u8]) -> std::io::Result<()> {
            if offset >= 5 << 20 { Err(std::io::Error::from_raw_os_error(6)) } else { self.0.read_at(offset, buf) }
        }
    }

    let world = World::new();
    let disk = noise(9 << 20, 8);
    world.with_session("alpha", |session| {
        let gone = Gone(&disk);
        let mut failing = reading(&disk);
        failing[0].volume = &gone;
        let outcome = session.protect((task(&disk), &failing, &|| (true, vec![])), calm());
        assert!(matches!(&outcome, Err(AgentError::Refused { why, .. }) if why.contains("sda")), "{outcome:?}");
        let made = session.protect((task(&disk), &reading(&disk), &|| (true, vec![])), calm()).unwrap();
        world.holds("alpha", made.at.number, &disk);
    });
}
