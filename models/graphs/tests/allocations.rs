//! A whole training step of a language model allocates nothing, on any thread, once the first one has run.
//!
//! A binary of its own with one test, so that what is counted for the whole process is the step's alone.

use g2_engine::cpu::{Executor, Options};
use g2_engine::optim::Sgd;
use g2_engine::{Bindings, Fusion, Model, Parameters};
use g2_graphs::language_model::NoisyLm;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

static COUNT: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: everything is the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_training_step_allocates_nothing() {
    let (time, batch, vocab) = (12, 5, 40);
    let bindings = Bindings::new().with("time", time).with("batch", batch).with("vocab", vocab);
    let bindings = bindings.with("embedding", 24).with("features", 20).stack("layers", [50, 20]);
    let training = NoisyLm::DEFINITION.training.unwrap();
    for fusion in [Fusion::Fused, Fusion::Unfused] {
        let options = Options { threads: 3, fusion, seed: 1 };
        let mut executor = Executor::<f32>::new(training, &bindings, options).unwrap();
        let mut parameters = Parameters::new(training, &bindings).unwrap();
        parameters.as_mut_slice().iter_mut().enumerate().for_each(|(k, p)| *p = (k % 7) as f32 * 0.01 - 0.03);
        let mut gradients = parameters.zeros_like();
        let hypers = ["tau", "noise_p", "epsilon", "p_embed", "p_input", "p_output", "p_weight"];
        let tokens: Vec<u32> = (0..time * batch).map(|k| (k * 7 % vocab) as u32).collect();
        let mut made = Vec::new();
        for step in 0..4 {
            let before = COUNT.load(Ordering::Relaxed);
            for name in hypers.into_iter().chain(["layers.0.p_hidden", "layers.1.p_hidden"]) {
                executor.set_hyper(name, 0.5).unwrap();
            }
            executor.set_index("tokens", &tokens).unwrap();
            executor.set_index("targets", &tokens).unwrap();
            executor.forward(&parameters, step).unwrap();
            executor.backward(&parameters, &mut gradients).unwrap();
            Sgd { lr: 0.1, clip: 1.0 }.step(parameters.as_mut_slice(), gradients.as_slice());
            assert!(executor.loss().is_finite());
            made.push(COUNT.load(Ordering::Relaxed) - before);
        }
        assert_eq!(made[1..], [0, 0, 0], "{fusion:?}; the first step made {}", made[0]);
    }
}
