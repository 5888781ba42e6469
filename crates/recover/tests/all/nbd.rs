//! NBD as libnbd and QEMU see it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use backstay_env::volume::Volume;
use backstay_recover::nbd::{Export, Listen, Options, Server, StartError};
use serde_json::Value;

use crate::world::{Faulty, Lines, Sparse, ok, run};

pub(crate) const LEN: usize = (9 << 20) + 1536;

pub(crate) fn export(name: &str, volume: impl Volume + 'static) -> Export {
    Export { name: name.into(), description: format!("the disk {name}"), volume: Arc::new(volume) }
}

/// A server on a free port and on a socket, with its content as a file to compare with.
pub(crate) struct Running {
    pub(crate) server: Server,
    pub(crate) dir: tempfile::TempDir,
    pub(crate) golden: PathBuf,
    /// The byte that the export `bad` cannot read.
    pub(crate) bad: u64,
    pub(crate) lines: Lines,
}

impl Running {
    pub(crate) fn start(options: Options) -> Running {
        let dir = tempfile::tempdir().expect("temporary directory");
        let golden = dir.path().join("golden.raw");
        let disk = Sparse::noise(LEN, 7);
        let bad_byte = disk.data_from(3_000_000) + 100;
        std::fs::write(&golden, &disk.bytes).expect("writes");
        let bad = Faulty { inner: Sparse::noise(LEN, 7), bad: bad_byte..bad_byte + 1 };
        let large = Sparse { sector: 4096, ..Sparse::noise(1 << 20, 8) };
        let exports = vec![export("disk a/1", disk), export("bad", bad), export("4kn", large)];
        let places = [Listen::Tcp("127.0.0.1:0".parse().expect("address")), Listen::Unix(dir.path().join("s"))];
        let lines = Lines::default();
        let server = Server::start(exports, &places, Options { log: lines.log(), ..options });
        Running { server: server.expect("starts"), dir, golden, bad: bad_byte, lines }
    }

    pub(crate) fn tcp(&self, export: &str) -> String {
        self.server.addresses()[0].uri(export)
    }

    pub(crate) fn unix(&self, export: &str) -> String {
        self.server.addresses()[1].uri(export)
    }
}

fn same(a: &Path, b: &Path) {
    ok("cmp", &[a, b]);
}

#[test]
fn nbdinfo_lists_and_describes() {
    let running = Running::start(Options::default());
    for uri in [running.tcp(""), running.unix("")] {
        let listed: Value = serde_json::from_str(&ok("nbdinfo", &["--json", "--list", &uri])).expect("JSON");
        let names: Vec<_> = listed["exports"].as_array().expect("exports").iter().map(|e| &e["export-name"]).collect();
        assert_eq!(names, ["disk a/1", "bad", "4kn"]);
        let first = &listed["exports"][0];
        assert_eq!(first["export-size"], LEN);
        assert_eq!(first["description"], "the disk disk a/1");
        assert_eq!(first["contexts"], serde_json::json!(["base:allocation"]));
        assert_eq!(first["is_read_only"], true);
        assert_eq!(first["block_size_minimum"], 1);
        assert_eq!(listed["exports"][2]["block_size_minimum"], 4096);
        assert_eq!(first["block_size_maximum"], 32 << 20);
    }
    for can in ["read", "multi-conn", "df", "flush", "cache", "structured-reply", "connect"] {
        ok("nbdinfo", &["--can", can, &running.tcp("disk a/1")]);
    }
    for cannot in ["write", "trim", "zero", "fast-zero"] {
        let said = run("nbdinfo", &["--can", cannot, &running.tcp("")]);
        assert_eq!(said.status.code(), Some(2), "{cannot}");
    }
    ok("nbdinfo", &["--is", "read-only", &running.tcp("")]);
    assert!(!run("nbdinfo", &[running.tcp("nothing")]).status.success());
}

#[test]
fn nbdinfo_maps_holes() {
    let running = Running::start(Options::default());
    let map = ok("nbdinfo", &["--map=base:allocation", "--json", &running.tcp("")]);
    let map: Value = serde_json::from_str(&map).expect("JSON");
    let golden = std::fs::read(&running.golden).expect("golden");
    let mut at = 0;
    for run in map.as_array().expect("runs") {
        let (offset, len) = (run["offset"].as_u64().expect("offset"), run["length"].as_u64().expect("length"));
        assert_eq!(offset, at);
        at += len;
        let zeros = golden[offset as usize..at as usize].iter().all(|&b| b == 0);
        assert_eq!(run["type"], if zeros { 3 } else { 0 }, "{run}");
    }
    assert_eq!(at, LEN as u64);
}

#[test]
fn nbdcopy_gets_every_byte() {
    let running = Running::start(Options::default());
    let out = running.dir.path().join("out.raw");
    let out_name = out.to_str().expect("path");
    for uri in [running.tcp(""), running.unix("disk a/1")] {
        for options in [&["--connections=4"][..], &["--no-extents"], &["--request-size=8388608"], &["--synchronous"]] {
            let args = [options, &[uri.as_str(), out_name]].concat();
            ok("nbdcopy", &args);
            same(&out, &running.golden);
            std::fs::remove_file(&out).expect("removes");
        }
    }
}

#[test]
fn qemu_reads_the_same() {
    let running = Running::start(Options::default());
    let golden = running.golden.to_str().expect("path");
    for uri in [running.tcp(""), running.unix("")] {
        ok("qemu-img", &["compare", "-f", "raw", "-F", "raw", &uri, golden]);
        let out = running.dir.path().join("out.raw");
        ok("qemu-img", &["convert", "-f", "raw", "-O", "raw", &uri, out.to_str().expect("path")]);
        same(&out, &running.golden);
        let map: Value =
            serde_json::from_str(&ok("qemu-img", &["map", "-f", "raw", "--output=json", &uri])).expect("JSON");
        assert!(map.as_array().expect("runs").iter().any(|run| run["zero"] == true && run["data"] == false), "{map}");
        ok("qemu-img", &["bench", "-f", "raw", "-c", "500", "-d", "32", "-s", "5000", &uri]);
    }
}

#[test]
fn qemu_io_reads_and_may_not_write() {
    let running = Running::start(Options::default());
    let golden = std::fs::read(&running.golden).expect("golden");
    let hole = golden.chunks(4096).position(|page| page.iter().all(|&b| b == 0)).expect("a hole") * 4096;
    let read = |from: usize, len: usize| format!("read -P 0 {from} {len}");
    let said = ok("qemu-io", &["-r", "-f", "raw", "-c", &read(hole, 4096), "-c", &read(hole + 7, 9), &running.tcp("")]);
    assert_eq!(said.matches("bytes at offset").count(), 2, "{said}");
    let wrong = format!("read -P 1 {hole} 512");
    let wrong = run("qemu-io", &["-r", "-f", "raw", "-c", &wrong, &running.tcp("")]);
    assert!(!wrong.status.success(), "qemu-io notices other bytes");
    let write = run("qemu-io", &["-f", "raw", "-c", "write 0 512", &running.tcp("")]);
    assert!(!write.status.success(), "opened for writing");
}

#[test]
fn what_cannot_be_read_is_an_error_and_the_rest_is_not() {
    let running = Running::start(Options::default());
    let read = |at: u64| run("qemu-io", &["-r", "-f", "raw", "-c", &format!("read {at} 512"), &running.tcp("bad")]);
    assert!(String::from_utf8_lossy(&read(running.bad - running.bad % 512 - 4096).stdout).contains("bytes at offset"));
    let bad = read(running.bad / 512 * 512);
    let said = [bad.stdout, bad.stderr].concat();
    assert!(String::from_utf8_lossy(&said).contains("Input/output error"), "{}", String::from_utf8_lossy(&said));
    let lines = running.lines.all();
    assert!(lines.iter().any(|l| l.contains("\"bad\"") && l.contains("the medium is scratched")), "{lines:?}");
}

#[test]
fn handshake_corners() {
    let running = Running::start(Options::default());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/all/corners.py");
    let golden = running.golden.to_str().expect("path");
    // Debian's own Python has the bindings; another one that comes first in PATH may not.
    let said =
        ok("/usr/bin/python3", &[script, &running.tcp(""), &running.unix("bad"), &running.bad.to_string(), golden]);
    assert!(said.ends_with("all corners\n"), "{said}");
}

#[test]
fn other_hosts_are_not_let_in_unasked() {
    let start = |allow_plain| {
        let place = Listen::Tcp("0.0.0.0:0".parse().expect("address"));
        Server::start(vec![export("a", vec![0; 512])], &[place], Options { allow_plain, ..Options::default() })
    };
    let refused = start(false).err().expect("refused");
    assert!(matches!(refused, StartError::Plain(_)));
    assert_eq!(refused.to_string(), "refusing to serve 0.0.0.0:0 without encryption: other hosts can reach it");
    start(true).expect("allowed");
}

#[test]
fn odd_exports_are_refused() {
    let start = |names: &[&str]| {
        let exports = names.iter().map(|name| export(name, vec![0; 512])).collect();
        Server::start(exports, &[], Options::default()).map(drop)
    };
    assert!(matches!(start(&[]), Err(StartError::Name(_))));
    assert!(matches!(start(&["a", "a"]), Err(StartError::Name(_))));
    assert!(matches!(start(&[""]), Err(StartError::Name(_))));
    assert!(matches!(start(&["a", &"n".repeat(4097)]), Err(StartError::Name(_))));
    start(&["a", "b"]).expect("starts");
}

/// Reads wait until the test lets them go.
struct Gated {
    started: Mutex<Sender<()>>,
    go: Mutex<Receiver<()>>,
}

impl Volume for Gated {
    fn size(&self) -> u64 {
        1 << 20
    }

    fn read_at(&self, _: u64, buf: &mut [u8]) -> io::Result<()> {
        self.started.lock().expect("sender").send(()).map_err(io::Error::other)?;
        self.go.lock().expect("receiver").recv().map_err(io::Error::other)?;
        buf.fill(b'g');
        Ok(())
    }
}

#[test]
fn stopping_answers_what_was_asked_before() {
    let dir = tempfile::tempdir().expect("temporary directory");
    let ((started, has_started), (let_go, go)) = (channel(), channel());
    let gated = Gated { started: Mutex::new(started), go: Mutex::new(go) };
    let place = Listen::Unix(dir.path().join("s"));
    let server = Server::start(vec![export("g", gated)], &[place], Options::default()).expect("starts");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/all/drain.py");
    let uri = server.addresses()[0].uri("");
    let mut client = std::process::Command::new("/usr/bin/python3")
        .args([script, &uri])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("python3 is needed");
    has_started.recv().expect("the client reads");
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| server.stop(Duration::from_secs(600)));
        // The socket's path goes when the listener does; from then on requests are refused.
        while dir.path().join("s").exists() {
            std::thread::yield_now();
        }
        drop(client.stdin.take()); // the client now asks once more, and says when it was refused
        let mut said = String::new();
        let mut out = io::BufReader::new(client.stdout.take().expect("stdout"));
        io::BufRead::read_line(&mut out, &mut said).expect("reads");
        assert_eq!(said, "refused: ESHUTDOWN\n");
        let_go.send(()).expect("lets go");
        io::Read::read_to_string(&mut out, &mut said).expect("reads");
        assert!(said.ends_with("the first read is whole\n"), "{said}");
        stopping.join().expect("stops");
    });
    assert!(client.wait().expect("ends").success());
}
