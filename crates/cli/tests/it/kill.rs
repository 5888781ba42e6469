//! The program killed at random moments: nothing that was acknowledged is lost, and the store works on.
//!
//! `BACKSTAY_KILLS`: how many rounds of each kind, instead of the few that every test run makes. `BACKSTAY_SEED`: where to
//! begin; a run prints its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::tools::*;
use crate::world::*;

const MIB: u64 = 1 << 20;
const ROUNDS: u64 = 14;

pub(crate) fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

/// A store on which things are killed, and what every point of it must hold.
struct Victim {
    world: World,
    image: PathBuf,
    numbers: Numbers,
    known: BTreeMap<u64, PathBuf>,
}

impl Victim {
    fn new(kind: u64) -> Victim {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = setting("BACKSTAY_SEED").unwrap_or(since.subsec_nanos().into());
        println!("BACKSTAY_SEED={seed}");
        let world = World::new();
        let image = world.path("web.img");
        noisy_image(&image, 12 * MIB + 512, seed);
        let mut victim = Victim { world, image, numbers: Numbers(seed ^ kind << 40), known: BTreeMap::new() };
        victim.protect();
        victim
    }

    /// Changes the image here and there: pages of noise, some of zeros, some copies of others.
    fn change(&mut self) {
        for _ in 0..1 + self.numbers.below(60) {
            let len = 1 + self.numbers.below(60_000) as usize;
            let at = self.numbers.below(12 * MIB - 60_000);
            let bytes = if self.numbers.below(5) == 0 { vec![0; len] } else { self.numbers.bytes(len) };
            poke(&self.image, at, &bytes);
        }
    }

    fn keep(&mut self, point: u64) {
        let kept = self.world.path(&format!("kept-{point}"));
        copy(&self.image, &kept);
        self.known.insert(point, kept);
    }

    /// A point that is acknowledged.
    fn protect(&mut self) -> Duration {
        let begun = Instant::now();
        let point = self.world.protect(text(&self.image));
        self.keep(point);
        begun.elapsed()
    }

    /// Starts a command and kills it at a moment within `typical`; whether it was still at work.
    fn kill(&mut self, args: &[&str], typical: Duration) -> bool {
        let micros = self.numbers.below(typical.as_micros() as u64 * 11 / 10 + 1);
        self.world.start(args).kill_after(Duration::from_micros(micros))
    }

    /// Every point that is listed restores; those in `gone` may be missing, the newest may be one of the image as it is.
    fn verify(&mut self, gone: &[u64]) {
        let points = self.world.points();
        let newest = self.known.keys().last().copied().unwrap_or(0);
        for (point, _) in &points {
            if *point > newest {
                self.keep(*point); // killed after the commit, before it could say so
            }
        }
        let listed: Vec<u64> = points.iter().map(|p| p.0).collect();
        self.known.retain(|point, kept| {
            let stays = listed.contains(point);
            assert!(stays || gone.contains(point), "point {point} is lost; there are {listed:?}");
            if !stays {
                fs::remove_file(kept).unwrap();
            }
            stays
        });
        for (point, time) in &points {
            self.world.assert_restores(time, Path::new(&self.known[point]));
        }
        self.world.assert_clean();
    }

    /// Forgets all but the newest few, as an acknowledged command.
    fn trim(&mut self, most: usize) {
        let drop: Vec<u64> = self.known.keys().rev().skip(most).copied().collect();
        if !drop.is_empty() {
            self.world.ok(&forget(&drop).iter().map(String::as_str).collect::<Vec<_>>());
            drop.iter().for_each(|point| fs::remove_file(self.known.remove(point).unwrap()).unwrap());
        }
    }
}

fn forget(points: &[u64]) -> Vec<String> {
    let words = ["forget", "m", "--yes", "--point"].map(str::to_owned);
    words.into_iter().chain(points.iter().map(u64::to_string)).collect()
}

fn rounds(mut round: impl FnMut() -> bool) {
    let all = setting("BACKSTAY_KILLS").unwrap_or(ROUNDS);
    let killed = (0..all).filter(|_| round()).count();
    println!("{killed} of {all} were killed at work");
    assert!(killed > 0 || all < ROUNDS, "all ended before they were killed: nothing was tried");
}

#[test]
fn protect_killed_at_any_moment() {
    let mut victim = Victim::new(1);
    victim.change();
    let mut typical = victim.protect();
    rounds(|| {
        victim.change();
        let image = text(&victim.image).to_owned();
        let killed = victim.kill(&["protect", &image, "--machine", "m", "--once"], typical);
        victim.verify(&[]);
        // The next one goes through, and goes on from what is there.
        typical = victim.protect();
        victim.trim(3);
        killed
    });
    victim.world.ok(&["reclaim", "--yes"]);
    victim.verify(&[]);
}

#[test]
fn forget_killed_at_any_moment() {
    let mut victim = Victim::new(2);
    let mut typical = Duration::from_millis(50);
    rounds(|| {
        while victim.known.len() < 5 {
            victim.change();
            victim.protect();
        }
        let drop: Vec<u64> = victim.known.keys().copied().filter(|_| victim.numbers.below(2) == 0).collect();
        let drop = if drop.is_empty() { vec![*victim.known.keys().next().unwrap()] } else { drop };
        let args = forget(&drop);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let killed = victim.kill(&args, typical);
        victim.verify(&drop);
        let begun = Instant::now();
        victim.trim(2);
        typical = typical.max(begun.elapsed());
        killed
    });
    victim.world.ok(&["reclaim", "--yes"]);
    victim.verify(&[]);
}

#[test]
fn reclaim_killed_at_any_moment() {
    let mut victim = Victim::new(3);
    let mut typical = Duration::from_millis(100);
    rounds(|| {
        for _ in 0..2 {
            victim.change();
            victim.protect();
        }
        victim.trim(2);
        let killed = victim.kill(&["reclaim", "--yes"], typical);
        victim.verify(&[]);
        if victim.numbers.below(3) == 0 {
            let begun = Instant::now();
            victim.world.ok(&["reclaim", "--yes"]);
            typical = begun.elapsed();
            victim.verify(&[]);
        }
        killed
    });
    victim.world.ok(&["reclaim", "--yes"]);
    victim.protect();
    victim.verify(&[]);
}
