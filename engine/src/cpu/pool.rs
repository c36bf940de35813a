//! Threads that run one job together and meet at barriers. Between jobs they sleep.

use crate::error::Error;
use std::any::Any;
use std::cell::UnsafeCell;
use std::hint::spin_loop;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};

/// Turns of a waiting loop before the thread gives its core away: some tens of microseconds.
const SPINS: usize = 1 << 12;

/// Turns at which a barrier's waiting thread begins to yield: less, as others may need the core to arrive.
const BARRIER_SPINS: usize = 1 << 10;

/// What every thread runs, with its number.
type Job<'a> = &'a (dyn Fn(usize) + Sync);

/// The threads; the caller of `run` is number 0.
pub(crate) struct Pool {
    shared: Arc<Shared>,
    handles: Vec<JoinHandle<()>>,
}

struct Shared {
    threads: usize,
    /// The number of jobs begun.
    begun: AtomicUsize,
    /// Workers still busy with the current one.
    busy: AtomicUsize,
    job: UnsafeCell<Option<Job<'static>>>,
    caller: UnsafeCell<Option<Thread>>,
    stop: AtomicBool,
    broken: AtomicBool,
    arrived: AtomicUsize,
    generation: AtomicUsize,
}

// SAFETY: `job` and `caller` are written by the caller of `run` while no worker is busy, before it publishes `begun`
// (release), and read by workers only after they have seen it (acquire) and before they leave `busy`.
unsafe impl Sync for Shared {}
// SAFETY: as above; what the cells hold is `Send`.
unsafe impl Send for Shared {}

impl Pool {
    pub(crate) fn new(threads: usize) -> Result<Pool, Error> {
        let shared = Arc::new(Shared {
            threads: threads.max(1),
            begun: AtomicUsize::new(0),
            busy: AtomicUsize::new(0),
            job: UnsafeCell::new(None),
            caller: UnsafeCell::new(None),
            stop: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            arrived: AtomicUsize::new(0),
            generation: AtomicUsize::new(0),
        });
        let mut pool = Pool { shared, handles: Vec::new() };
        for id in 1..threads {
            let shared = pool.shared.clone();
            let spawned = thread::Builder::new().name(format!("g2-{id}")).spawn(move || work(&shared, id));
            pool.handles.push(spawned.map_err(|error| Error::Threads(error.to_string()))?);
        }
        Ok(pool)
    }

    pub(crate) fn threads(&self) -> usize {
        self.shared.threads
    }

    /// Runs `job` on every thread and returns when all are done.
    ///
    /// # Panics
    /// If it panics on any of them; afterwards the pool is of no use.
    pub(crate) fn run(&mut self, job: Job<'_>) {
        if self.handles.is_empty() {
            return job(0);
        }
        let shared = &*self.shared;
        assert!(!shared.broken.load(Ordering::Acquire), "a worker thread has panicked before");
        // SAFETY: only the lifetime changes, and no worker uses the job once `busy` is 0, which this call waits for.
        let lasting = unsafe { std::mem::transmute::<Job<'_>, Job<'static>>(job) };
        // SAFETY: no worker is busy (`&mut self`, and every run waits for them), so nobody reads the cells.
        unsafe {
            *shared.job.get() = Some(lasting);
            *shared.caller.get() = Some(thread::current());
        }
        shared.busy.store(self.handles.len(), Ordering::Relaxed);
        shared.begun.fetch_add(1, Ordering::Release);
        self.handles.iter().for_each(|handle| handle.thread().unpark());
        let result = shared.guard(0, job);
        let mut turns = 0;
        while shared.busy.load(Ordering::Acquire) > 0 {
            turns += 1;
            if turns < SPINS { spin_loop() } else { thread::park() }
        }
        if let Err(panic) = result {
            resume_unwind(panic);
        }
        assert!(!shared.broken.load(Ordering::Acquire), "a worker thread has panicked");
    }

    /// The meeting point for jobs.
    pub(crate) fn barrier(&self) -> Barrier {
        Barrier(self.shared.clone())
    }
}

/// Where the threads of a job meet.
pub(crate) struct Barrier(Arc<Shared>);

impl Barrier {
    /// Waits until every thread has come here; what they wrote before is then visible to all.
    ///
    /// # Panics
    /// If another thread of the job has panicked.
    pub(crate) fn wait(&self) {
        let shared = &*self.0;
        if shared.threads == 1 {
            return;
        }
        let generation = shared.generation.load(Ordering::Acquire);
        if shared.arrived.fetch_add(1, Ordering::AcqRel) + 1 == shared.threads {
            shared.arrived.store(0, Ordering::Relaxed);
            shared.generation.store(generation.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut turns = 0;
        while shared.generation.load(Ordering::Acquire) == generation {
            assert!(!shared.broken.load(Ordering::Acquire), "another thread of this job has panicked");
            turns += 1;
            if turns < BARRIER_SPINS { spin_loop() } else { thread::yield_now() }
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        for handle in self.handles.drain(..) {
            handle.thread().unpark();
            // A worker's panic has been reported by `run`.
            let _ = handle.join();
        }
    }
}

fn work(shared: &Shared, id: usize) {
    let mut seen = 0;
    loop {
        let mut turns = 0;
        while shared.begun.load(Ordering::Acquire) == seen {
            if shared.stop.load(Ordering::Acquire) {
                return;
            }
            turns += 1;
            if turns < SPINS { spin_loop() } else { thread::park() }
        }
        seen += 1;
        // SAFETY: the job was published by `begun`, and the caller waits for this worker before it changes the cells.
        let (job, caller) = unsafe { ((*shared.job.get()).as_ref(), (*shared.caller.get()).clone()) };
        if let Some(job) = job {
            // The panic itself is the caller's to report.
            let _ = shared.guard(id, *job);
        }
        if shared.busy.fetch_sub(1, Ordering::AcqRel) == 1
            && let Some(caller) = caller
        {
            caller.unpark();
        }
    }
}

impl Shared {
    fn guard(&self, id: usize, job: Job<'_>) -> Result<(), Box<dyn Any + Send>> {
        let result = catch_unwind(AssertUnwindSafe(|| job(id)));
        if result.is_err() {
            // Those who wait at a barrier for this thread must not wait for ever.
            self.broken.store(true, Ordering::Release);
        }
        result
    }
}
