//! What following takes from who writes as fast as the disk can.
//!
//! Never knows: how fresh points are.

use std::fs;

use super::disk::Disk;
use super::follow::{Point, Store};
use super::load::Fio;
use super::spread::Spread;
use super::{Found, Setting};
use crate::bench::programs::{self, Printed};
use crate::bench::targets::{Figure, Limit};
use crate::fail::{During, Result};
use crate::guards::Loop;
use crate::run;

/// The tracker alone, attached and not, in turn. The device is a disk file that has all its blocks; then one in memory, where writes
/// cost so little that the tracker shows most: that one is told, not judged.
pub(super) fn tracker(setting: &Setting) -> Result<Found> {
    let on_disk = rounds(setting, &setting.dir)?;
    let in_memory = rounds(setting, "/dev/shm".as_ref())?;
    let ratio = on_disk.get("ratio_median")?;
    let nanoseconds = on_disk.get("nanoseconds_median")?;
    let figures = vec![
        Figure {
            figure: "tracker alone, CPU a write".into(),
            found: format!("{nanoseconds:.0} ns, the kernel's measuring included"),
            value: nanoseconds / 1000.0,
            unit: "µs",
            limit: Limit::AtMost(1.0),
        },
        Figure {
            figure: "tracker alone, IOPS lost".into(),
            found: format!("{:.0}/s, alone {:.0}/s", on_disk.get("tracked_median")?, on_disk.get("alone_median")?),
            value: (1.0 - ratio) * 100.0,
            unit: "%",
            limit: Limit::AtMost(3.0),
        },
    ];
    let details = vec![told("a file on the disk", &on_disk)?, told("a file in memory, not judged", &in_memory)?];
    Ok(Found { figures, details })
}

fn rounds(setting: &Setting, folder: &std::path::Path) -> Result<Printed> {
    let (pairs, seconds) = setting.lengths.tracker;
    let file = folder.join(format!("backstay-bench-{}.img", std::process::id()));
    let printed = || {
        // With all its blocks, and written once: a first write to a block costs more.
        let fill = format!("of={}", file.display());
        run::output(run::program("dd").args(["if=/dev/zero", &fill, "bs=1M", "count=512", "conv=fsync"]))?;
        let device = Loop::attach_direct(&file)?;
        let program = run::cargo_target().join("release/examples/tracker_load");
        let mut command = run::program(program.to_string_lossy().as_ref());
        command.arg(device.device()).arg(setting.dir.join("pins")).args([pairs.to_string(), seconds.to_string()]);
        programs::parsed(&run::output(&mut command)?)
    };
    let printed = printed();
    fs::remove_file(&file).during(file.display())?;
    printed
}

fn told(what: &str, printed: &Printed) -> Result<String> {
    let of = |name: &str, digits: usize| -> Result<String> {
        let at = |which: &str| Ok(format!("{:.digits$}", printed.get(&format!("{name}_{which}"))?));
        let quarters = format!("{} to {}", at("low")?, at("high")?);
        Ok(format!("{} ({quarters}; {} to {})", at("median")?, at("least")?, at("most")?))
    };
    Ok(format!(
        "tracker alone, {what}: writes a second alone {}, tracked {}, ratio of neighbours {}; ns a write {} \
         (median, quarter to quarter; least to most)",
        of("alone", 0)?,
        of("tracked", 0)?,
        of("ratio", 3)?,
        of("nanoseconds", 0)?
    ))
}

/// As many random writes to a file as can be, with nothing of ours in the kernel and with a point every 10 s, in turn.
pub(super) fn points(setting: &Setting) -> Result<Found> {
    let disk = Disk::fresh(&setting.dir, "cost", 4 << 30)?;
    let file = disk.fill(setting.lengths.file)?;
    let store = Store::create(&setting.program, &setting.dir.join("cost"))?;
    let fio = Fio { file: &file, rate: None, distinct: false };
    let (rounds, seconds) = setting.lengths.points;
    let (mut alone, mut followed, mut seen) = (Vec::new(), Vec::new(), Vec::<Point>::new());
    fio.run(2)?;
    for round in 0..rounds {
        setting.interrupt.check()?;
        let mut follow = || -> Result<f64> {
            let following = store.follow(disk.device(), "10s", &setting.interrupt)?;
            let wrote = fio.run(seconds)?;
            seen.extend(following.so_far());
            Ok(wrote.rate)
        };
        if round.is_multiple_of(2) {
            alone.push(fio.run(seconds)?.rate);
            followed.push(follow()?);
        } else {
            followed.push(follow()?);
            alone.push(fio.run(seconds)?.rate);
        }
        println!("round {}: alone {:.0}/s, followed {:.0}/s", round + 1, alone[round], followed[round]);
    }
    let ratio = Spread::of(alone.iter().zip(&followed).map(|(alone, followed)| followed / alone));
    let (alone, followed) = (Spread::of(alone), Spread::of(followed));
    let lost = Figure {
        figure: "points every 10 s, IOPS lost".into(),
        found: format!("{:.0}/s, alone {:.0}/s", followed.median(), alone.median()),
        value: (1.0 - ratio.median()) * 100.0,
        unit: "%",
        limit: Limit::AtMost(10.0),
    };
    let took = Spread::of(seen.iter().map(|point| point.took));
    let frozen = Spread::of(seen.iter().map(|point| point.frozen));
    let sent = Spread::of(seen.iter().map(|point| point.sent as f64 / super::MIB));
    let details = vec![format!(
        "points every 10 s under full load: writes a second alone {}, followed {}, ratio of neighbours {}; of the points: ms {}, \
         frozen ms {}, MiB sent {}",
        alone.shown(0),
        followed.shown(0),
        ratio.shown(3),
        took.shown(0),
        frozen.shown(1),
        sent.shown(0)
    )];
    Ok(Found { figures: vec![lost], details })
}
