//! A link that takes its time: two network interfaces of which each sends what the other gets, some milliseconds later, in order and
//! all of it. Where the kernel has `netem`, that does the same; this is for those that have not.
//!
//! `delay NAME NAME MILLISECONDS` makes the interfaces (TUN), prints `ready`, and ends with its standard input; they go with it. Rates
//! are the business of `tc`.
//!
//! Never knows: who talks over it.

use std::io::{self, Read};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use tun_rs::{DeviceBuilder, SyncDevice};

/// Bytes of a packet at most.
const MOST: usize = 1 << 16;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [one, other, milliseconds] = &words[..] else {
        return Err("delay NAME NAME MILLISECONDS".into());
    };
    let delay = Duration::from_millis(milliseconds.parse()?);
    let device = |name: &String| DeviceBuilder::new().name(name.as_str()).build_sync().map(Arc::new);
    let (one, other) = (device(one)?, device(other)?);
    carry(one.clone(), other.clone(), delay);
    carry(other, one, delay);
    println!("ready");
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// Sends what comes from one to the other, from threads of their own.
fn carry(from: Arc<SyncDevice>, to: Arc<SyncDevice>, delay: Duration) {
    // Holds what TCP has under way: bounded by its windows.
    let (under_way, arriving) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut packet = vec![0; MOST];
        // An interface that is down has nothing.
        while let Ok(length) = from.recv(&mut packet) {
            let told = under_way.send((Instant::now() + delay, packet[..length].to_vec()));
            if told.is_err() {
                return;
            }
        }
    });
    thread::spawn(move || {
        for (due, packet) in arriving {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            // What cannot be sent is lost, as on any link.
            let _ = to.send(&packet);
        }
    });
}
