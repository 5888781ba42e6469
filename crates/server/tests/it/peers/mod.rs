//! Programs that others wrote, and a server talks to. They end with the test.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::Value;
use tempfile::TempDir;

/// A certificate for `localhost`, with the authority behind it.
pub(crate) struct Certificate {
    folder: TempDir,
    /// The authority's, as PEM.
    pub(crate) authority: String,
}

impl Certificate {
    pub(crate) fn new() -> Certificate {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let authority = params.self_signed(&key).unwrap().pem();
        let issuer = Issuer::new(params, key);
        let own = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&own, &issuer).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("certificate"), certificate.pem()).unwrap();
        std::fs::write(folder.path().join("key"), own.serialize_pem()).unwrap();
        Certificate { folder, authority }
    }

    pub(crate) fn files(&self) -> [PathBuf; 2] {
        [self.folder.path().join("certificate"), self.folder.path().join("key")]
    }
}

/// A program that prints its port and then, line by line, what it was told.
pub(crate) struct Peer {
    child: Child,
    pub(crate) port: u16,
    lines: Receiver<String>,
}

impl Peer {
    fn start(script: &str, args: &[&str]) -> Peer {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/peers").join(script);
        let child = Command::new("/usr/bin/python3")
            .arg(script)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.expect("Python is there");
        let output = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = channel();
        std::thread::spawn(move || output.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        let mut peer = Peer { child, port: 0, lines };
        peer.port = peer.line(60).expect("it starts").parse().unwrap();
        peer
    }

    /// A mail server; port 0: any.
    pub(crate) fn smtp(security: &str, certificate: &Certificate, port: u16) -> Peer {
        let [own, key] = certificate.files();
        Peer::start("smtp.py", &[security, own.to_str().unwrap(), key.to_str().unwrap(), &port.to_string()])
    }

    /// A receiver of webhooks.
    pub(crate) fn hook(certificate: &Certificate, secret: &str) -> Peer {
        let [own, key] = certificate.files();
        Peer::start("hook.py", &[own.to_str().unwrap(), key.to_str().unwrap(), secret])
    }

    fn line(&self, seconds: u64) -> Option<String> {
        self.lines.recv_timeout(Duration::from_secs(seconds)).ok()
    }

    /// What it is told next.
    pub(crate) fn told(&self) -> Value {
        serde_json::from_str(&self.line(60).expect("it is told something")).unwrap()
    }

    /// Whether it is told nothing for so long.
    pub(crate) fn hears_nothing_for(&self, seconds: u64) -> bool {
        self.line(seconds).is_none()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
