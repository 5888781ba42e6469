//! The requests of one connection that were read and not yet answered: a bounded queue with a few workers, started
//! when there is something for them to do.
//!
//! Never knows: sockets, or what a job does.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// What a pipeline holds at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) workers: usize,
    /// Jobs read and not answered.
    pub(super) jobs: usize,
    /// Sum of the jobs' costs in bytes; a single job may cost more, and then goes alone.
    pub(super) bytes: usize,
}

struct Inner<J> {
    queue: VecDeque<(J, usize)>,
    workers: usize,
    idle: usize,
    jobs: usize,
    bytes: usize,
    closed: bool,
}

/// The queue. One thread submits, many take.
pub(super) struct Pipeline<J> {
    limits: Limits,
    inner: Mutex<Inner<J>>,
    work: Condvar,
    room: Condvar,
}

impl<J> Pipeline<J> {
    pub(super) fn new(limits: Limits) -> Self {
        let inner = Inner { queue: VecDeque::new(), workers: 0, idle: 0, jobs: 0, bytes: 0, closed: false };
        Pipeline { limits, inner: Mutex::new(inner), work: Condvar::new(), room: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<J>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a job that will hold `cost` bytes, waiting for room. Says whether the caller should start a worker.
    pub(super) fn submit(&self, job: J, cost: usize) -> bool {
        let full = |i: &mut Inner<J>| {
            i.jobs >= self.limits.jobs || (i.jobs > 0 && i.bytes.saturating_add(cost) > self.limits.bytes)
        };
        let mut inner = self.room.wait_while(self.lock(), full).unwrap_or_else(PoisonError::into_inner);
        inner.queue.push_back((job, cost));
        inner.jobs += 1;
        inner.bytes += cost;
        if inner.queue.len() > inner.idle && inner.workers < self.limits.workers {
            inner.workers += 1;
            return true;
        }
        self.work.notify_one();
        false
    }

    /// No more jobs: workers end when the queue is empty.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
    }

    /// A worker's life: does jobs until there are no more.
    pub(super) fn work(&self, mut answer: impl FnMut(J)) {
        while let Some((job, cost)) = self.next() {
            let _done = Done { pipeline: self, cost }; // also when `answer` panics
            answer(job);
        }
    }

    fn next(&self) -> Option<(J, usize)> {
        let mut inner = self.lock();
        loop {
            if let Some(job) = inner.queue.pop_front() {
                return Some(job);
            }
            if inner.closed {
                return None;
            }
            inner.idle += 1;
            inner = self.work.wait(inner).unwrap_or_else(PoisonError::into_inner);
            inner.idle -= 1;
        }
    }
}

struct Done<'a, J> {
    pipeline: &'a Pipeline<J>,
    cost: usize,
}

impl<J> Drop for Done<'_, J> {
    fn drop(&mut self) {
        let mut inner = self.pipeline.lock();
        inner.jobs -= 1;
        inner.bytes -= self.cost;
        drop(inner);
        self.pipeline.room.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn all_jobs_are_done_within_the_limits() {
        let limits = Limits { workers: 3, jobs: 8, bytes: 100 };
        let pipeline = Pipeline::new(limits);
        let (done, held, most) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
        let mut started = 0;
        std::thread::scope(|scope| {
            for job in 0..1000_usize {
                let cost = if job % 100 == 0 { 500 } else { 40 };
                if pipeline.submit(cost, cost) {
                    started += 1;
                    scope.spawn(|| {
                        pipeline.work(|cost| {
                            most.fetch_max(held.fetch_add(cost, Ordering::SeqCst) + cost, Ordering::SeqCst);
                            held.fetch_sub(cost, Ordering::SeqCst);
                            done.fetch_add(1, Ordering::SeqCst);
                        });
                    });
                }
            }
            pipeline.close();
        });
        assert_eq!(done.into_inner(), 1000);
        assert!((1..=3).contains(&started), "{started} workers");
        assert_eq!(most.into_inner(), 500, "a large job goes alone");
    }
}
