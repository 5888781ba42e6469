//! Clients that mean harm: they must not disturb the others.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use backstay_recover::nbd::{Address, Options};
use proptest::prelude::Rng;
use proptest::test_runner::TestRng;

use crate::nbd::Running;
use crate::world::ok;

fn connect(running: &Running) -> TcpStream {
    let Address::Tcp(address) = &running.server.addresses()[0] else {
        panic!("the first address is TCP");
    };
    TcpStream::connect(address).expect("connects")
}

fn still_serves(running: &Running) {
    let golden = running.golden.to_str().expect("path");
    ok("qemu-img", &["compare", "-f", "raw", "-F", "raw", &running.unix(""), golden]);
}

/// Enters the transmission phase the short way.
fn entered(running: &Running) -> TcpStream {
    let mut stream = connect(running);
    let mut greeting = [0; 18];
    stream.read_exact(&mut greeting).expect("greeting");
    stream.write_all(b"\0\0\0\x03IHAVEOPT\0\0\0\x01\0\0\0\0").expect("EXPORT_NAME");
    stream.read_exact(&mut [0; 10]).expect("size and flags");
    stream
}

fn request(command: u16, offset: u64, length: u32) -> Vec<u8> {
    let mut bytes = vec![0x25, 0x60, 0x95, 0x13, 0, 0];
    bytes.extend(command.to_be_bytes());
    bytes.extend([7; 8]);
    bytes.extend(offset.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes
}

/// Until the server closes; a reset is a close, too.
fn drained(mut stream: TcpStream) -> Vec<u8> {
    let mut said = Vec::new();
    if let Err(e) = stream.read_to_end(&mut said) {
        assert_eq!(e.kind(), std::io::ErrorKind::ConnectionReset);
    }
    said
}

#[test]
fn noise() {
    let running = Running::start(Options::default());
    let mut rng = TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    for round in 0..300 {
        let mut stream = if round % 2 == 0 { connect(&running) } else { entered(&running) };
        let mut bytes = vec![0; (rng.next_u32() % 2000) as usize];
        rng.fill_bytes(&mut bytes);
        if round % 4 == 0 {
            bytes.splice(..0, *b"\0\0\0\x03IHAVEOPT\0\0\0");
        } else if round % 4 == 1 {
            bytes.splice(..0, request((rng.next_u32() % 10) as u16, rng.next_u64() >> 40, rng.next_u32() >> 16));
        }
        // The server may close before it has read all.
        if stream.write_all(&bytes).is_ok() && stream.shutdown(Shutdown::Write).is_ok() {
            drained(stream);
        }
    }
    still_serves(&running);
}

#[test]
fn a_client_that_says_nothing_is_dropped() {
    let running = Running::start(Options { handshake_timeout: Duration::from_millis(50), ..Options::default() });
    assert_eq!(drained(connect(&running)).len(), 18);
    let mut slow = connect(&running);
    for byte in *b"\0\0\0\x03IHAVEOPT\0\0\0\x03" {
        if slow.write_all(&[byte]).is_err() {
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(drained(slow).len(), 18, "a byte now and then does not help");
    assert!(running.lines.all().iter().any(|l| l.contains("connection ended")));
}

#[test]
fn a_client_that_does_not_read_holds_bounded_memory_and_nobody_up() {
    let running = Running::start(Options { in_flight_bytes: 1 << 20, ..Options::default() });
    let mut greedy = entered(&running);
    greedy.set_write_timeout(Some(Duration::from_millis(300))).expect("timeout");
    let mut asked = 0;
    // Far more than fits: the server must stop reading, so that writing stops, too.
    for _ in 0..1_000_000 {
        if greedy.write_all(&request(0, 0, 4 << 20)).is_err() {
            break;
        }
        asked += 1;
    }
    assert!(asked < 1_000_000, "the server took everything");
    still_serves(&running);
    drop(greedy);
    running.server.stop(Duration::ZERO);
}

#[test]
fn too_many_clients_are_turned_away() {
    let running = Running::start(Options { max_connections: 2, ..Options::default() });
    let (first, second) = (entered(&running), entered(&running));
    assert_eq!(drained(connect(&running)), b"");
    drop((first, second));
    while running.server.connections() > 0 {
        std::thread::yield_now();
    }
    still_serves(&running);
}

#[test]
fn writes_are_read_past_and_refused() {
    let running = Running::start(Options::default());
    let mut stream = entered(&running);
    stream.write_all(&request(1, 0, 100_000)).expect("write");
    stream.write_all(&vec![9; 100_000]).expect("payload");
    stream.write_all(&request(3, 0, 0)).expect("flush");
    let mut replies = [0; 32];
    stream.read_exact(&mut replies).expect("replies");
    let errors = [&replies[4..8], &replies[20..24]];
    assert!(errors.contains(&&[0, 0, 0, 1][..]) && errors.contains(&&[0; 4][..]), "{replies:?}");
    let mut lost = entered(&running);
    lost.write_all(&request(1, 0, u32::MAX)).expect("write");
    assert_eq!(drained(lost), b"", "a payload of 4 GiB ends the connection");
}

#[test]
fn stopping_does_not_wait_for_idle_clients() {
    let running = Running::start(Options::default());
    let idle = entered(&running);
    running.server.stop(Duration::from_secs(600));
    assert_eq!(drained(idle), b"");
}
