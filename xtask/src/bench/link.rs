//! The way to a server over a link of 1 Gbit/s and 20 ms: how much of what the link carries is used by the first protect, and what
//! crosses it when the disk is shown again. Server and agent are in network namespaces of their own; `tc` limits the rate, and a program
//! of `bench/` delays, because not every kernel has `netem`. What the link carries is what iperf3 gets over it.
//!
//! Never knows: what goes over the wire.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::data::Data;
use super::measure::{processor_time, settle, stored, timed};
use super::programs;
use super::table::median;
use super::targets::{Figure, Limit};
use crate::fail::{During, Fail, Result, absent};
use crate::run;
use crate::service::{Place, Server};

const MIB: f64 = 1_048_576.0;
/// Bits a second, and milliseconds from end to end, there and back.
const RATE: &str = "1gbit";
const ONE_WAY_MS: &str = "10";
/// The two ends: namespace, interface and address.
const SERVER: End = End { space: "backstay-server", interface: "bslink0", address: "10.88.77.1" };
const AGENT: End = End { space: "backstay-agent", interface: "bslink1", address: "10.88.77.2" };
/// Bytes that iperf3 sends: about what the first protect does.
const PROBE: &str = "800M";

/// One end of the link.
struct End {
    space: &'static str,
    interface: &'static str,
    address: &'static str,
}

impl End {
    /// A program at this end.
    fn run(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = run::program("ip");
        command.args(["netns", "exec", self.space]).arg(program);
        command
    }

    fn place(&self) -> Place {
        Place { space: Some(self.space), address: self.address }
    }

    /// Takes the interface in, and limits what it sends.
    fn connect(&self) -> Result<()> {
        run::output(run::program("ip").args(["link", "set", self.interface, "netns", self.space]))?;
        run::output(self.run("ip").args(["link", "set", "lo", "up"]))?;
        run::output(self.run("ip").args(["address", "add", &format!("{}/24", self.address), "dev", self.interface]))?;
        run::output(self.run("ip").args(["link", "set", self.interface, "up"]))?;
        let limit =
            ["qdisc", "add", "dev", self.interface, "root", "tbf", "rate", RATE, "burst", "256kb", "latency", "50ms"];
        run::output(self.run("tc").args(limit)).map(drop)
    }

    /// Bytes that it has sent.
    fn sent(&self) -> Result<u64> {
        let count = format!("/sys/class/net/{}/statistics/tx_bytes", self.interface);
        let said = run::text(self.run("cat").arg(&count))?;
        said.trim().parse().map_err(|_| Fail::new(format!("{count} says {said}")))
    }
}

/// Both namespaces and what delays between them, until dropped.
struct Link(Child);

impl Link {
    fn make(delay: &Path) -> Result<Link> {
        let mut delay = Command::new(delay);
        delay.args([SERVER.interface, AGENT.interface, ONE_WAY_MS]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut link = Link(delay.spawn().during("delay")?);
        // It says so when both are there.
        let mut ready = [0; 5];
        let mut out = link.0.stdout.take().ok_or_else(|| Fail::new("delay says nothing"))?;
        std::io::Read::read_exact(&mut out, &mut ready).during("delay")?;
        for end in [&SERVER, &AGENT] {
            run::output(run::program("ip").args(["netns", "add", end.space]))?;
            end.connect()?;
        }
        Ok(link)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // It is gone, or it goes now; what was not made cannot be removed.
        let _ = self.0.kill();
        let _ = self.0.wait();
        for end in [&SERVER, &AGENT] {
            let _ = run::program("ip").args(["netns", "delete", end.space]).stderr(Stdio::null()).status();
        }
    }
}

/// One protect: its bytes from the agent, its time, and by how much the store grew.
struct Crossed {
    bytes: u64,
    wall: Duration,
    stored: u64,
    /// What agent and server took of the processors.
    processors: [Duration; 2],
}

/// Measures.
/// # Errors
/// Not root, or a program does not build or fails.
pub(super) fn measure(data: &Data, rounds: usize) -> Result<(String, Vec<Figure>)> {
    if !run::is_root()? {
        return Err(Fail::new("the link bench must be run as root: it makes network namespaces"));
    }
    let release = programs::built()?;
    let dir = run::keep("bench").join("link");
    let (mut carries, mut all) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        fs::remove_dir_all(&dir).or_else(absent).during(dir.display())?;
        fs::create_dir_all(&dir).during(dir.display())?;
        let link = Link::make(&release.join("delay"))?;
        carries.push(probe()?);
        let crossed = protects(&release.join("backstay"), &dir, data)?;
        let shown = crossed.each_ref().map(|c| format!("{:.1} MiB in {:.2} s", mib(c.bytes), c.wall.as_secs_f64()));
        println!("round {}: the link carries {:.1} MiB/s; {}", round + 1, carries[round] / MIB, shown.join(", "));
        all.push(crossed);
        drop(link);
    }
    fs::remove_dir_all(&dir).during(dir.display())?;
    Ok(judged(carries, &all))
}

/// Bytes a second that a TCP connection brings from the agent's end to the server's.
fn probe() -> Result<f64> {
    let mut server =
        SERVER.run("iperf3").args(["--server", "--one-off"]).stdout(Stdio::null()).spawn().during("iperf3")?;
    let mut client = AGENT.run("iperf3");
    client.args(["--client", SERVER.address, "--connect-timeout", "1000", "--bytes", PROBE, "--json"]);
    let mut said = run::text(&mut client);
    for _ in 0..20 {
        if said.is_ok() {
            break;
        }
        // It does not listen yet.
        std::thread::sleep(Duration::from_millis(100));
        said = run::text(&mut client);
    }
    if said.is_err() {
        server.kill().during("iperf3")?;
    }
    server.wait().during("iperf3")?;
    let said: Value = serde_json::from_str(&said?).map_err(|e| Fail::new(format!("iperf3: {e}")))?;
    let bits = said["end"]["sum_received"]["bits_per_second"].as_f64();
    bits.map(|bits| bits / 8.0).ok_or_else(|| Fail::new(format!("iperf3 says {said}")))
}

/// The disk for the first time, the same again, and with pages overwritten.
fn protects(program: &Path, dir: &Path, data: &Data) -> Result<[Crossed; 3]> {
    let server = Server::start(program, dir, &SERVER.place())?;
    let agent = dir.join("agent");
    server.operator()?.enroll("bench", &agent)?;
    let image = dir.join("image");
    let protect = |source: &Path| -> Result<Crossed> {
        run::output(Command::new("cp").arg("--sparse=always").args([source, &image]))?;
        settle(&image)?;
        let (before, kept) = (AGENT.sent()?, stored(&server.store())?);
        let mut command = AGENT.run(program);
        command.arg("agent").arg(&image).arg("--dir").arg(&agent).arg("--once");
        let worked = processor_time(server.process())?;
        let sample = timed(&command)?;
        Ok(Crossed {
            bytes: AGENT.sent()? - before,
            wall: sample.wall,
            stored: stored(&server.store())?.saturating_sub(kept),
            processors: [sample.cpu, processor_time(server.process())? - worked],
        })
    };
    Ok([protect(&data.before)?, protect(&data.before)?, protect(&data.after)?])
}

fn judged(mut carries: Vec<f64>, all: &[[Crossed; 3]]) -> (String, Vec<Figure>) {
    carries.sort_by(f64::total_cmp);
    let carries = carries[carries.len() / 2];
    let of = |which: usize| {
        let each = || all.iter().map(|crossed| &crossed[which]);
        let wall = median(each().map(|c| c.wall)).unwrap_or_default().as_secs_f64();
        let bytes = median(each().map(|c| c.bytes)).unwrap_or_default();
        (wall, bytes, median(each().map(|c| c.stored)).unwrap_or_default())
    };
    let (wall, bytes, stored) = of(0);
    let mut text = format!("- the link carries {:.1} MiB/s ({RATE}, {ONE_WAY_MS} ms each way)\n", carries / MIB);
    for (which, name) in ["for the first time", "the same again", "with pages overwritten"].iter().enumerate() {
        let (wall, bytes, stored) = of(which);
        // Writing to a String cannot fail.
        let took = |end: usize| median(all.iter().map(|crossed| crossed[which].processors[end])).unwrap_or_default();
        let [agent, server] = [took(0).as_secs_f64(), took(1).as_secs_f64()];
        let _ = writeln!(
            text,
            "- {name}: {:.1} MiB in {wall:.2} s; stored {:.1} MiB more; processor time: the agent {agent:.1} s, the server {server:.1} s",
            mib(bytes),
            mib(stored)
        );
    }
    let used = bytes as f64 / wall;
    let figures = vec![
        Figure {
            figure: "a link of 1 Gbit/s and 20 ms, used by the first protect".into(),
            found: format!("{:.1} MiB/s, it carries {:.1}", used / MIB, carries / MIB),
            value: used / carries,
            unit: "of what the link carries",
            limit: Limit::AtLeast(0.9),
        },
        Figure {
            figure: "what crosses for the first protect".into(),
            found: format!("{:.1} MiB, stored {:.1}", mib(bytes), mib(stored)),
            value: bytes as f64 / stored as f64,
            unit: "of what it stores",
            limit: Limit::AtMost(1.1),
        },
        Figure {
            figure: "what crosses for the same again".into(),
            found: format!("{:.1} MiB, {:.1} the first time", mib(of(1).1), mib(bytes)),
            value: of(1).1 as f64 / bytes as f64,
            unit: "of the first time",
            limit: Limit::AtMost(0.01),
        },
    ];
    (text, figures)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}
