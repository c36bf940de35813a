//! After its first step an executor allocates nothing, and a plan's buffers are where its text says.

use crate::harness::*;
use crate::loops::stacked_case;
use crate::same_bits::tagger;
use g2_engine::cpu::Options;
use g2_engine::ir::graph::Output;
use g2_engine::ir::op::Op;
use g2_engine::plan::{Home, Plan};
use g2_engine::{Fusion, ir};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// Counts this thread's allocations: other tests run beside.
struct Counting;

// SAFETY: everything is the system's; counting touches a thread-local without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
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

/// How many allocations the calling thread makes in its third training step.
fn allocations(mut step: impl FnMut(u64)) -> usize {
    (0..3).fold(0, |_, k| {
        let before = COUNT.with(Cell::get);
        step(k);
        COUNT.with(Cell::get) - before
    })
}

#[test]
fn no_allocation_after_the_first_step() {
    let mut case = Case::new(&[("t", 40), ("b", 30), ("n", 50), ("v", 9)]);
    let table = case.leaf("table", ir::LeafKind::Param, &["v", "n"]);
    let ids = case.indices("ids", &["t", "b"], 9);
    let g = case.g();
    let rows = g.op(Op::Gather, &[table, ids]);
    let u = g.uniform(0, ir::Per::Step, shape(&[&d("t"), &d("b"), &d("n")]));
    let noisy = g.mul(rows, u);
    let soft = g.op(Op::LogSoftmax, &[noisy]);
    let loss = g.op(Op::Sum { axes: vec![0, 1, 2] }, &[soft]);
    case.program.graph.outputs.push(loss);
    case.program.outputs.push(Output::Loss);
    case.program.mode = ir::Mode::Training;
    case.program = ir::compile(case.program).unwrap();
    let (mut executor, parameters) = case.executor::<f32>(&[], Case::options(2, Fusion::Unfused));
    let mut gradients = parameters.zeros_like();
    let made = allocations(|step| {
        executor.set_index("ids", &[3; 1200]).unwrap();
        executor.forward(&parameters, step).unwrap();
        executor.backward(&parameters, &mut gradients).unwrap();
        executor.reset_states();
    });
    assert_eq!(made, 0);
}

#[test]
fn no_allocation_in_a_model() {
    for fusion in [Fusion::Fused, Fusion::Unfused] {
        let (mut executor, parameters) = tagger::<f32>(Options { threads: 2, fusion, seed: SEED });
        let mut gradients = parameters.zeros_like();
        let made = allocations(|step| {
            executor.forward(&parameters, step).unwrap();
            executor.backward(&parameters, &mut gradients).unwrap();
        });
        assert_eq!(made, 0, "{fusion:?}");
    }
}

#[test]
fn buffers_that_live_together_are_apart() {
    let mut case = stacked_case(6, 3, &[4, 5, 3]);
    case.program = ir::compile(case.program).unwrap();
    for fusion in [Fusion::Fused, Fusion::Unfused] {
        let plan = Plan::new(&case.program, &case.bindings, fusion).unwrap();
        for (i, a) in plan.buffers.iter().enumerate() {
            for b in &plan.buffers[..i] {
                let place = |home| match home {
                    Home::Arena { offset } => Some((None, offset)),
                    Home::Inside { parent, offset } => Some((Some(parent), offset)),
                    _ => None,
                };
                let (Some((in_a, at_a)), Some((in_b, at_b))) = (place(a.home), place(b.home)) else { continue };
                let (Some(life_a), Some(life_b)) = (a.life, b.life) else { continue };
                let together = in_a == in_b && a.scope == b.scope && life_a.0 <= life_b.1 && life_b.0 <= life_a.1;
                let overlap = at_a < at_b + b.elements && at_b < at_a + a.elements;
                assert!(!(together && overlap), "{a} and {b}");
            }
        }
        let text = plan.to_string();
        for part in ["saved for backward", "forward:", "backward:", "6 steps of i0, from the last to the first"] {
            assert!(text.contains(part), "{part} is missing from\n{text}");
        }
    }
}

#[test]
fn a_trajectory_is_kept_only_for_those_who_read_it() {
    let mut case = stacked_case(100, 3, &[4, 5]);
    let trained = ir::compile(case.program.clone()).unwrap();
    case.program.mode = ir::Mode::Evaluation;
    case.program.outputs[0] = Output::Named("loss".into());
    let plan = Plan::new(&case.program, &case.bindings, Fusion::Unfused).unwrap();
    // `c` is read by nobody after its step: two slots.
    let slots: Vec<usize> = plan.buffers.iter().filter(|b| b.name.contains("carry")).map(|b| b.elements / 15).collect();
    assert_eq!(slots, [101, 2]);
    let plan = Plan::new(&trained, &case.bindings, Fusion::Unfused).unwrap();
    assert!(plan.saved.iter().any(|saved| saved.elements == 101 * 15), "{plan}");
}
