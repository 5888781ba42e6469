//! What following a disk in use costs, how fresh its points are, and how fast: on loop devices with direct I/O.
//!
//! Never knows: how anything is followed or stored; the program is driven by its command line.

use std::fs;
use std::path::PathBuf;

use super::programs;
use super::targets::Figure;
use crate::fail::{During, Fail, Result};
use crate::guards::Interrupt;
use crate::run;

mod change;
mod cost;
mod disk;
mod follow;
mod growth;
mod load;
mod moment;
mod pace;
mod peers;
mod spread;
mod steady;

const MIB: f64 = 1_048_576.0;

/// How much of everything.
struct Lengths {
    /// Rounds with and without the tracker, and the length of each in seconds.
    tracker: (usize, f64),
    /// Rounds with points, and the length of each in seconds.
    points: (usize, u64),
    /// Seconds of a steady load with points every 10 s, and every 3 s.
    steady: (u64, u64),
    /// Bytes of the file that loads write to.
    file: u64,
    /// Points after a change, on each disk.
    changes: usize,
    /// Pages that one change overwrites.
    pages: u64,
    /// Backups by each peer after a change.
    peers: usize,
    /// Seconds of random writes, each page once.
    growth: u64,
}

const FULL: Lengths = Lengths {
    tracker: (12, 2.0),
    points: (4, 42),
    steady: (62, 46),
    file: 1 << 30,
    changes: 7,
    pages: 6400,
    peers: 2,
    growth: 20,
};

const QUICK: Lengths = Lengths {
    tracker: (4, 1.0),
    points: (1, 24),
    steady: (23, 10),
    file: 256 << 20,
    changes: 2,
    pages: 1600,
    peers: 1,
    growth: 6,
};

/// Where and how it is measured.
struct Setting {
    program: PathBuf,
    dir: PathBuf,
    interrupt: Interrupt,
    lengths: Lengths,
    quick: bool,
}

/// Takes some of the figures.
type Part = fn(&Setting) -> Result<Found>;

/// What a part showed.
#[derive(Default)]
struct Found {
    figures: Vec<Figure>,
    /// Lines of a Markdown list: what the figures rest on.
    details: Vec<String>,
}

/// Takes all figures; what they rest on, as text, and they.
/// # Errors
/// Not root; a tool is missing or fails. Nothing is left attached, mounted or followed.
pub(super) fn measure(quick: bool) -> Result<(String, Vec<Figure>)> {
    if !run::is_root()? {
        return Err(Fail::new("the capture bench must be run as root: it attaches, mounts and follows disks"));
    }
    let program = programs::built()?.join("backstay");
    let dir = run::keep("bench").join("capture");
    let lengths = if quick { QUICK } else { FULL };
    let setting = Setting { program, dir, interrupt: Interrupt::listen()?, lengths, quick };
    let mut all = Found::default();
    let parts: [(&str, Part); 5] = [
        ("the tracker alone", cost::tracker),
        ("points every 10 s under full load", cost::points),
        ("steady loads", steady::loads),
        ("random writes, each page once", growth::random_writes),
        ("points after changes", change::points),
    ];
    for (name, part) in parts {
        println!("== {name}");
        // The stores of a part are large.
        clear(&setting.dir)?;
        fs::create_dir_all(&setting.dir).during(setting.dir.display())?;
        let Found { figures, details } = part(&setting)?;
        details.iter().for_each(|line| println!("{line}"));
        all.figures.extend(figures);
        all.details.extend(details);
        setting.interrupt.check()?;
    }
    clear(&setting.dir)?;
    Ok((all.details.iter().map(|line| format!("- {line}\n")).collect(), all.figures))
}

fn clear(dir: &std::path::Path) -> Result<()> {
    if dir.exists() { fs::remove_dir_all(dir).during(dir.display()) } else { Ok(()) }
}
