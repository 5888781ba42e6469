//! Gaps: told by the point that ends them, with what is known of why; suspensions, through clocks that jump.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use backstay_env::time::Clock;
use backstay_format::rows::Consistency;
use backstay_format::rows::gap::{Cause, Why};
use backstay_format::units::{PointNo, Timestamp};
use backstay_vault::gap::Promise;
use backstay_vault::protect::{Capture, Made, Progress, Source, Verdict};
use backstay_vault::{Vault, VaultError};

use crate::world::World;

const SECOND: i64 = 1_000_000_000;
const START: i64 = 1_700_000_000 * SECOND;

/// A clock that tests set.
struct Hands(AtomicI64);

impl Clock for Hands {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

struct Scene {
    world: World,
    clock: Arc<Hands>,
    vault: Vault,
}

impl Scene {
    fn new() -> Scene {
        let mut world = World::new();
        let clock = Arc::new(Hands(AtomicI64::new(START)));
        world.seams.clock = clock.clone();
        let vault = world.open();
        Scene { world, clock, vault }
    }

    /// Moves the clock.
    fn pass(&self, seconds: i64) -> &Scene {
        self.clock.0.fetch_add(seconds * SECOND, Ordering::Relaxed);
        self
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Makes a point that promises the next one in so many seconds; 0: nothing.
    fn point(&self, every: u64, causes: &[(i64, Why)]) -> Made {
        let disk = vec![1_u8; 8192];
        let cause = |(ago, why): &(i64, Why)| {
            let since = Timestamp(self.now().0 - ago * SECOND);
            Cause { since, why: *why, text: String::new() }
        };
        let source = Source {
            name: "sda".into(),
            origin: "memory".into(),
            volume: &disk,
            used: vec![0..8192],
            excluded: Vec::new(),
            exclusions: Vec::new(),
        };
        let capture = Capture {
            machine: "alpha",
            sources: vec![source],
            note: String::new(),
            verdict: &|| Verdict { consistency: Consistency::Still, stamps: vec![] },
            cancel: &false.into(),
            progress: &Progress::default(),
            promise: Promise { every: every * SECOND as u64, causes: causes.iter().map(cause).collect() },
        };
        self.vault.protect(&capture).unwrap()
    }

    /// Gaps that ended: the point that ended each, its seconds, and why.
    fn gaps(&self) -> Vec<(u64, i64, Vec<Why>)> {
        let gaps = self.vault.gaps(&self.vault.machine("alpha").unwrap()).unwrap().closed;
        let whys = |causes: &[Cause]| causes.iter().map(|c| c.why).collect();
        gaps.iter().map(|(number, gap)| (number.0, (gap.to.0 - gap.from.0) / SECOND, whys(&gap.causes))).collect()
    }

    /// The one that has not ended: its seconds, and why.
    fn open(&self) -> Option<(i64, Vec<Why>)> {
        let gap = self.vault.gaps(&self.vault.machine("alpha").unwrap()).unwrap().open?;
        Some(((gap.to.0 - gap.from.0) / SECOND, gap.causes.iter().map(|c| c.why).collect()))
    }

    fn is_suspended(&self) -> bool {
        self.vault.suspension("alpha").unwrap().is_some()
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let found = self.world.witness().check().findings;
            assert!(found.is_empty(), "the independent reader finds {}", found[0]);
        }
    }
}

const MINUTE: u64 = 60 * SECOND as u64;

#[test]
fn a_gap_is_judged_by_what_was_promised_when_it_began() {
    let scene = Scene::new();
    scene.point(0, &[]);
    scene.pass(5000).point(10, &[]);
    assert_eq!(scene.gaps(), [], "nothing was promised");
    scene.pass(20).point(10, &[]);
    assert_eq!((scene.gaps(), scene.open()), (vec![], None));
    scene.pass(21);
    assert_eq!(scene.open(), Some((21, vec![Why::Unknown])));
    scene.point(3600, &[]);
    assert_eq!(scene.gaps(), [(4, 21, vec![Why::Unknown])]);
    scene.pass(7000).point(0, &[]);
    scene.pass(100_000).point(0, &[]);
    assert_eq!((scene.gaps().len(), scene.open()), (1, None));
}

#[test]
fn a_gap_says_what_is_known_of_why() {
    let scene = Scene::new();
    scene.point(10, &[]);
    scene.pass(60).point(10, &[(50, Why::Store), (5, Why::Rescan)]);
    scene.pass(60).point(10, &[(30, Why::Busy)]);
    scene.pass(-3600).point(10, &[(1, Why::Failed)]);
    let told = [(2, 60, vec![Why::Store, Why::Rescan]), (3, 60, vec![Why::Unknown, Why::Busy])];
    assert_eq!(scene.gaps(), told, "no gap where the clock was set back");
}

#[test]
fn a_suspension_is_told_by_the_point_after_it() {
    let scene = Scene::new();
    assert!(matches!(scene.vault.suspend("alpha", "tape", MINUTE), Err(VaultError::NoMachine(_))));
    assert!(!scene.is_suspended());
    scene.point(10, &[]);
    scene.pass(5);
    scene.vault.suspend("alpha", "tape", MINUTE).unwrap();
    let elsewhere = scene.world.open();
    assert_eq!(elsewhere.suspension("alpha").unwrap().unwrap().reason, "tape");
    scene.pass(59);
    assert!(scene.is_suspended());
    assert_eq!(scene.open(), Some((64, vec![Why::Suspended])));
    // By itself.
    scene.pass(1);
    assert!(!scene.is_suspended() && scene.vault.resume("alpha").unwrap().is_none());
    scene.pass(30).point(10, &[]);
    assert_eq!(scene.gaps(), [(2, 95, vec![Why::Suspended, Why::Unknown])]);
    // By hand.
    scene.vault.suspend("alpha", "again", MINUTE).unwrap();
    scene.pass(30);
    assert_eq!(scene.vault.resume("alpha").unwrap().unwrap().reason, "again");
    assert!(!scene.is_suspended());
    scene.pass(5).point(10, &[]);
    assert_eq!(scene.gaps()[1..], [(3, 35, vec![Why::Suspended])]);
    // It is told once.
    scene.pass(100).point(10, &[]);
    assert_eq!(scene.gaps()[2..], [(4, 100, vec![Why::Unknown])]);
}

#[test]
fn a_suspension_is_a_gap_where_nothing_is_promised() {
    let scene = Scene::new();
    scene.point(0, &[]);
    scene.pass(5000);
    scene.vault.suspend("alpha", "tape", MINUTE).unwrap();
    scene.pass(5000).point(0, &[]);
    assert_eq!(scene.gaps(), [(2, 10_000, vec![Why::Suspended])]);
}

#[test]
fn a_suspension_over_a_clock_that_was_set_back_is_no_gap() {
    let scene = Scene::new();
    scene.point(0, &[]);
    scene.pass(-10);
    scene.vault.suspend("alpha", "tape", MINUTE).unwrap();
    scene.pass(5).point(0, &[]);
    assert_eq!(scene.gaps(), [], "the point is older than the one before it");
}

#[test]
fn clocks_that_jump_do_not_suspend_for_ever() {
    let scene = Scene::new();
    scene.point(10, &[]);
    scene.vault.suspend("alpha", "tape", MINUTE).unwrap();
    scene.pass(-30);
    assert!(scene.is_suspended());
    // It is made longer, from when it began.
    assert_eq!(
        scene.vault.suspend("alpha", "tape", 2 * MINUTE).unwrap().until,
        Timestamp(scene.now().0 + 120 * SECOND)
    );
    scene.pass(-100_000);
    assert!(!scene.is_suspended(), "a clock that was set back by a day");
    scene.point(10, &[]);
    scene.pass(100_000);
    assert!(!scene.is_suspended());
}

#[test]
fn gaps_go_with_the_points_before_them() {
    let scene = Scene::new();
    for _ in 0..5 {
        scene.point(10, &[]);
        scene.pass(60);
    }
    let machine = scene.vault.machine("alpha").unwrap();
    let forget = |numbers: &[u64]| {
        let drop: BTreeSet<PointNo> = numbers.iter().copied().map(PointNo).collect();
        scene.vault.forget(&scene.vault.plan_forget(&machine, &drop).unwrap()).unwrap();
        scene.gaps().iter().map(|(number, ..)| *number).collect::<Vec<_>>()
    };
    assert_eq!(forget(&[3, 4]), [2, 3, 4, 5]);
    assert_eq!(forget(&[1]), [3, 4, 5]);
    assert_eq!(forget(&[2]), [0; 0]);
    scene.vault.promise_nothing("alpha").unwrap();
    assert_eq!(scene.open(), None);
}
