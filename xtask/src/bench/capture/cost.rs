//! What following takes from who writes as fast as the disk can.
//!
//! Never knows: how fresh points are.

use std::fs;

use super::disk::Disk;
use super::follow::{Point, Store};
use super::load::{self, Fio};
use super::pace::Taken;
use super::spread::Spread;
use super::{Found, Setting};
use crate::bench::programs::{self, Printed};
use crate::bench::targets::{Figure, Limit};
use crate::fail::{During, Fail, Result};
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

/// As many random writes to a file as can be, while a point is made every 10 s. What is compared are moments of one run: from one run to
/// the next the same disk is a quarter faster or slower.
pub(super) fn points(setting: &Setting) -> Result<Found> {
    let disk = Disk::fresh(&setting.dir, "cost", 4 << 30)?;
    let file = disk.fill(setting.lengths.file)?;
    let store = Store::create(&setting.program, &setting.dir.join("cost"))?;
    let fio = Fio { file: &file, rate: None, distinct: false };
    let (rounds, seconds) = setting.lengths.points;
    let (mut taken, mut seen) = (Vec::<Taken>::new(), Vec::<Point>::new());
    for round in 0..rounds {
        setting.interrupt.check()?;
        let following = store.follow(disk.device(), "10s", &setting.interrupt)?;
        let pace = fio.paced(seconds, &setting.dir)?;
        let points = following.so_far();
        let made: Vec<_> = points.iter().map(|point| point.told - point.took / 1000.0..point.told).collect();
        let found = pace.taken_by(&made).ok_or_else(|| Fail::new("fewer than two points under full load"))?;
        let Taken { between, during, over_all } = found;
        println!("round {}: between points {between:.0}/s, during {during:.0}/s, over all {over_all:.0}/s", round + 1);
        taken.push(found);
        seen.extend(points);
    }
    let reads = load::reads(&file, 4)?;
    let of = |what: fn(&Taken) -> f64| Spread::of(taken.iter().map(what));
    let [between, during, over_all] = [of(|t| t.between), of(|t| t.during), of(|t| t.over_all)];
    let lost = of(|taken| taken.lost() * 100.0);
    let figure = Figure {
        figure: "points every 10 s, IOPS lost".into(),
        found: format!("{:.0}/s, between points {:.0}/s", over_all.median(), between.median()),
        value: lost.median(),
        unit: "%",
        limit: Limit::AtMost(10.0),
    };
    let of = |what: fn(&Point) -> f64| Spread::of(seen.iter().map(what));
    let sent = of(|point| point.sent as f64);
    let details = vec![format!(
        "points every 10 s under full load: writes a second between points {}, while one is made {}, over all {}; lost, % {}; of the \
         points: ms {}, frozen ms {}, MiB sent {}; the disk alone reads {:.0} MiB/s, so reading once what a point sends is {:.1} % of 10 s",
        between.shown(0),
        during.shown(0),
        over_all.shown(0),
        lost.shown(1),
        of(|point| point.took).shown(0),
        of(|point| point.frozen).shown(1),
        of(|point| point.sent as f64 / super::MIB).shown(0),
        reads / super::MIB,
        sent.median() / reads / 10.0 * 100.0
    )];
    Ok(Found { figures: vec![figure], details })
}
