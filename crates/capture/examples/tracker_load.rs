//! What the tracker takes from a writer: rounds of fio with and without it, in turn, on a device that is given; and the
//! nanoseconds that its programs run for each write, by the kernel's own statistics. Prints lines of `name value`.
//! `cargo run --release -p backstay-capture --example tracker_load -- DEVICE PINS PAIRS SECONDS`, as root. What is on the device is lost.
//!
//! Never knows: what is good enough.

use std::path::{Path, PathBuf};
use std::process::Command;

use aya::programs::ProgramInfo;
use aya::sys::{Stats, enable_stats};
use backstay_capture::tracker::Tracker;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

const PROGRAMS: [&str; 4] = ["issue", "complete_a", "complete_b", "complete_c"];
/// Rounds in which the kernel's statistics are taken, which costs time as well.
const MEASURED: usize = 3;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [device, pins, pairs, seconds] = &arguments[..] else {
        return Err("DEVICE PINS PAIRS SECONDS".into());
    };
    let load = Load { device: device.into(), pins: pins.into(), seconds: seconds.parse()? };
    load.write()?;
    let pairs: Vec<(f64, f64)> = (0..pairs.parse()?).map(|pair| load.pair(pair)).collect::<Result<_>>()?;
    print("alone", pairs.iter().map(|(alone, _)| *alone));
    print("tracked", pairs.iter().map(|(_, tracked)| *tracked));
    print("ratio", pairs.iter().map(|(alone, tracked)| tracked / alone));
    let costs = (0..MEASURED).map(|_| load.cost()).collect::<Result<Vec<f64>>>()?;
    print("nanoseconds", costs.into_iter());
    Ok(())
}

/// The quartiles of a figure.
fn print(name: &str, values: impl Iterator<Item = f64>) {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let at = |quarter: usize| values.get((values.len().saturating_sub(1)) * quarter / 4).copied().unwrap_or(f64::NAN);
    for (quarter, which) in [(0, "least"), (1, "low"), (2, "median"), (3, "high"), (4, "most")] {
        println!("{name}_{which} {:.4}", at(quarter));
    }
}

struct Load {
    device: PathBuf,
    pins: PathBuf,
    seconds: f64,
}

impl Load {
    /// Writes a second without and with the tracker; who begins changes.
    fn pair(&self, pair: usize) -> Result<(f64, f64)> {
        if pair.is_multiple_of(2) {
            let alone = self.write()?;
            Ok((alone, self.tracked(|| self.write())?.0))
        } else {
            let (tracked, _) = self.tracked(|| self.write())?;
            Ok((self.write()?, tracked))
        }
    }

    /// Nanoseconds in the tracker's programs for each write, the kernel's measuring included.
    fn cost(&self) -> Result<f64> {
        let measuring = enable_stats(Stats::RunTime)?;
        let (writes, nanoseconds) = self.tracked(|| Ok(self.write()? * self.seconds))?;
        drop(measuring);
        Ok(nanoseconds / writes)
    }

    /// Does something while the device is tracked; also says how long the programs ran, where that is measured.
    fn tracked<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
        let mut tracker = Tracker::open(&self.pins)?;
        tracker.add(&self.device)?;
        let done = work();
        let ran = PROGRAMS.iter().map(|program| ran(&self.pins, program)).sum::<Result<f64>>();
        tracker.detach()?;
        Ok((done?, ran?))
    }

    /// Random writes of 4 KiB; how many in a second.
    fn write(&self) -> Result<f64> {
        let mut fio = Command::new("fio");
        fio.args(["--name=load", "--rw=randwrite", "--bs=4k", "--iodepth=32", "--ioengine=libaio", "--direct=1"]);
        fio.args(["--time_based", "--norandommap", "--randrepeat=0", "--output-format=terse", "--terse-version=3"]);
        fio.arg(format!("--runtime={}ms", (self.seconds * 1000.0) as u64));
        let said = fio.arg(format!("--filename={}", self.device.display())).output()?;
        // The 49th field of the third version is the writes in a second.
        let text = String::from_utf8_lossy(&said.stdout);
        let found = text.trim().split(';').nth(48).and_then(|field| field.parse().ok());
        found.filter(|_| said.status.success()).ok_or_else(|| format!("fio: {said:?}").into())
    }
}

fn ran(pins: &Path, program: &str) -> Result<f64> {
    let info = ProgramInfo::from_pin(pins.join(format!("program-1-{program}")))?;
    Ok(info.run_time().as_nanos() as f64)
}
