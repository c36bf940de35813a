//! What must not change a bit: threads, instruction sets, fusion.

use crate::cells::Tagger;
use crate::harness::*;
use g2_engine::cpu::simd::Isa;
use g2_engine::cpu::{Element, Executor, Options};
use g2_engine::{Bindings, Fusion, Model, Parameters};

pub fn bindings() -> Bindings {
    let sizes = [("time", 7), ("batch", 5), ("vocab", 90), ("embedding", 24), ("features", 40)];
    sizes.into_iter().fold(Bindings::new(), |b, (name, n)| b.with(name, n)).stack("layers", [48, 40])
}

/// A tagger with everything set, and its parameters.
pub fn tagger<T: Element>(options: Options) -> (Executor<T>, Parameters<T>) {
    let compiled = Tagger::DEFINITION.training.unwrap();
    let mut executor = Executor::new(compiled, &bindings(), options).unwrap();
    let mut parameters = Parameters::new(compiled, &bindings()).unwrap();
    let values = random(&[parameters.as_slice().len()], 1).data;
    parameters.as_mut_slice().iter_mut().zip(values).for_each(|(p, x)| *p = T::from_f64(x / 2.0));
    let indices = |seed| random(&[35], seed).data.iter().map(|x| ((x + 1.0) * 45.0) as u32).collect::<Vec<_>>();
    executor.set_index("tokens", &indices(2)).unwrap();
    executor.set_index("targets", &indices(3)).unwrap();
    executor.set_hyper("layers.0.tau", 0.9).or_else(|_| executor.set_hyper("tau", 0.9)).unwrap();
    let _ = executor.set_hyper("layers.1.tau", 0.8);
    (executor, parameters)
}

/// Loss, gradients and states after two steps, as bits.
fn two_steps<T: Element>(options: Options, isa: Isa) -> Vec<u64> {
    let (mut executor, parameters) = tagger::<T>(options);
    executor.set_isa(isa);
    let mut gradients = parameters.zeros_like();
    let mut seen = Vec::new();
    for step in 0..2 {
        executor.forward(&parameters, step).unwrap();
        executor.backward(&parameters, &mut gradients).unwrap();
        let state = executor.state("layers.0.h").unwrap();
        let all = [&[executor.loss()], gradients.as_slice(), state].concat();
        seen.extend(all.iter().map(|x| x.to_f64().to_bits()));
    }
    assert!(seen.iter().all(|&bits| f64::from_bits(bits).is_finite()));
    seen
}

fn options(threads: usize, fusion: Fusion) -> Options {
    Options { threads, fusion, seed: SEED }
}

#[test]
fn threads_do_not_matter() {
    let one = two_steps::<f32>(options(1, Fusion::Fused), Isa::detect());
    for threads in [2, 3, 7] {
        assert_eq!(one, two_steps::<f32>(options(threads, Fusion::Fused), Isa::detect()), "{threads} threads");
    }
}

#[test]
fn fusion_does_not_matter() {
    for threads in [1, 2] {
        let fused = two_steps::<f32>(options(threads, Fusion::Fused), Isa::detect());
        assert_eq!(fused, two_steps::<f32>(options(threads, Fusion::Unfused), Isa::detect()));
        let fused = two_steps::<f64>(options(threads, Fusion::Fused), Isa::detect());
        assert_eq!(fused, two_steps::<f64>(options(threads, Fusion::Unfused), Isa::detect()));
    }
}

#[test]
fn instruction_sets_do_not_matter() {
    let portable = two_steps::<f32>(options(1, Fusion::Fused), Isa::Portable);
    let wide = two_steps::<f64>(options(1, Fusion::Fused), Isa::Portable);
    for isa in Isa::ALL.into_iter().filter(|isa| isa.is_available()) {
        assert_eq!(portable, two_steps::<f32>(options(1, Fusion::Fused), isa), "{isa:?}");
        assert_eq!(portable, two_steps::<f32>(options(2, Fusion::Unfused), isa), "{isa:?}");
        assert_eq!(wide, two_steps::<f64>(options(1, Fusion::Fused), isa), "{isa:?}");
    }
}

#[test]
fn steps_draw_other_noise() {
    let (mut executor, parameters) = tagger::<f32>(options(1, Fusion::Fused));
    let mut loss = |step| {
        executor.reset_states();
        executor.forward(&parameters, step).unwrap();
        executor.loss()
    };
    assert_eq!(loss(1), loss(1));
    assert_ne!(loss(1), loss(2));
}

#[test]
fn single_precision_is_near_double() {
    let (mut single, p32) = tagger::<f32>(options(2, Fusion::Fused));
    let (mut double, p64) = tagger::<f64>(options(2, Fusion::Fused));
    let (mut g32, mut g64) = (p32.zeros_like(), p64.zeros_like());
    single.forward(&p32, 1).unwrap();
    single.backward(&p32, &mut g32).unwrap();
    double.forward(&p64, 1).unwrap();
    double.backward(&p64, &mut g64).unwrap();
    assert!((f64::from(single.loss()) - double.loss()).abs() < 1e-5);
    let scale = g64.as_slice().iter().fold(0.0, |scale: f64, x| scale.max(x.abs()));
    for (a, b) in g32.as_slice().iter().zip(g64.as_slice()) {
        assert!((f64::from(*a) - b).abs() < 1e-5 * scale, "{a} {b}");
    }
}

#[test]
fn an_executor_can_move_to_another_thread() {
    let (mut executor, parameters) = tagger::<f32>(options(2, Fusion::Fused));
    executor.forward(&parameters, 1).unwrap();
    let here = executor.loss();
    executor.reset_states();
    let there = std::thread::spawn(move || {
        executor.forward(&parameters, 1).unwrap();
        executor.loss()
    });
    assert_eq!(here, there.join().unwrap());
}
