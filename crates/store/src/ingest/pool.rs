//! Work done by threads, or by the caller itself when there are none.
//!
//! Never knows: what the work is.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex, PoisonError};

/// How urgent a job is: the nearer to the end of the pipeline, the more memory it frees.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    First,
    Second,
    Third,
}

struct Queue<J> {
    jobs: [VecDeque<J>; 3],
    closed: bool,
}

impl<J> Queue<J> {
    fn pop(&mut self) -> Option<J> {
        self.jobs.iter_mut().find_map(VecDeque::pop_front)
    }
}

/// A queue of jobs that workers take from.
pub(super) struct Pool<J, D> {
    queue: Mutex<Queue<J>>,
    wake: Condvar,
    done: Sender<D>,
}

impl<J: Send, D: Send> Pool<J, D> {
    /// Runs `lead` with a handle to `threads` workers, each doing `work` with a state of its own. With no threads, jobs are
    /// done by whoever waits for their results, in the order of urgency: the same every time.
    pub(super) fn run<S, T>(
        threads: usize,
        state: impl Fn() -> S + Sync,
        work: impl Fn(&mut S, J) -> D + Sync,
        lead: impl FnOnce(&mut dyn Workers<J, D>) -> T,
    ) -> T {
        let (done, results) = channel();
        let jobs = [VecDeque::new(), VecDeque::new(), VecDeque::new()];
        let pool = Pool { queue: Mutex::new(Queue { jobs, closed: false }), wake: Condvar::new(), done };
        if threads == 0 {
            let mut own = state();
            let mut inline = Inline { pool: &pool, work: |job| work(&mut own, job) };
            return lead(&mut inline);
        }
        std::thread::scope(|scope| {
            let closing = Closing(&pool);
            let hire = || drop(scope.spawn(|| pool.serve(&state, &work)));
            let out = lead(&mut Threaded { pool: closing.0, results, hire, hired: 0, most: threads, under_way: 0 });
            drop(closing);
            out
        })
    }

    fn serve<S>(&self, state: &impl Fn() -> S, work: &impl Fn(&mut S, J) -> D) {
        let mut own = state();
        while let Some(job) = self.next() {
            // The receiver is gone when the lead gave up: nobody wants the result.
            if self.done.send(work(&mut own, job)).is_err() {
                return;
            }
        }
    }

    fn next(&self) -> Option<J> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if queue.closed {
                return None;
            }
            if let Some(job) = queue.pop() {
                return Some(job);
            }
            queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn push(&self, urgency: Urgency, job: J) {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).jobs[urgency as usize].push_back(job);
        self.wake.notify_one();
    }
}

/// Lets the workers go, also when the lead panics.
struct Closing<'a, J, D>(&'a Pool<J, D>);

impl<J, D> Drop for Closing<'_, J, D> {
    fn drop(&mut self) {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.0.wake.notify_all();
    }
}

/// What the lead sees of the pool.
pub(super) trait Workers<J, D> {
    /// Gives out a job.
    fn submit(&mut self, urgency: Urgency, job: J);
    /// Waits for the result of any job given out. Panics when none is under way.
    fn wait(&mut self) -> D;
}

/// Threads are hired as jobs come: what is small needs few of them.
struct Threaded<'a, J, D, H> {
    pool: &'a Pool<J, D>,
    results: Receiver<D>,
    hire: H,
    /// Threads at work, and how many there may be.
    hired: usize,
    most: usize,
    /// Jobs whose results were not waited for yet.
    under_way: usize,
}

impl<J: Send, D: Send, H: Fn()> Workers<J, D> for Threaded<'_, J, D, H> {
    fn submit(&mut self, urgency: Urgency, job: J) {
        self.pool.push(urgency, job);
        self.under_way += 1;
        if self.hired < self.most && self.under_way > self.hired {
            self.hired += 1;
            (self.hire)();
        }
    }

    fn wait(&mut self) -> D {
        self.under_way -= 1;
        self.results.recv().expect("workers live as long as the pool")
    }
}

struct Inline<'a, J, D, W> {
    pool: &'a Pool<J, D>,
    work: W,
}

impl<J: Send, D: Send, W: FnMut(J) -> D> Workers<J, D> for Inline<'_, J, D, W> {
    fn submit(&mut self, urgency: Urgency, job: J) {
        self.pool.push(urgency, job);
    }

    fn wait(&mut self) -> D {
        let job = self.pool.queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
        (self.work)(job.expect("waited for a job that was never given out"))
    }
}
