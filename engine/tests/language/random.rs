//! Random models: f64 interpreter = unfused = fused, in training, sampling and evaluation, at random sizes.

use crate::{random_models, random_source};
use g2_engine::check::Trial;
use g2_engine::{Bindings, Model};
use proptest::prelude::*;

#[test]
fn the_models_are_those_that_their_source_writes() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/language/random_models.rs");
    let source = random_source::source();
    if std::env::var_os("G2_BLESS").is_some() {
        std::fs::write(path, &source).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap();
    assert!(found == source, "{path} is out of date; write it again with G2_BLESS=1");
}

fn agree<M: Model>(time: usize, batch: usize, half: usize, seed: u64) {
    let bindings = Bindings::new().with("time", time).with("batch", batch).with("half", half);
    let definition = M::DEFINITION;
    for compiled in [definition.training, definition.sampling, definition.evaluation] {
        let compiled = compiled.expect("the model compiled");
        let trial = Trial::random(compiled, &bindings, &[("tau", 0.7)], 1, seed).unwrap();
        trial.agree().unwrap_or_else(|error| panic!("{error}"));
    }
}

macro_rules! random_models {
    ($($test:ident $model:ident)*) => {
        /// One runner for each model.
        const RUNNERS: [fn(usize, usize, usize, u64); random_source::COUNT] =
            [$(agree::<random_models::$model>),*];

        $(#[test]
        fn $test() {
            let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
                cases: 12,
                failure_persistence: None,
                ..ProptestConfig::default()
            });
            let sizes = (1usize..5, 1usize..4, 1usize..9, any::<u64>());
            let run = RUNNERS[stringify!($test).trim_start_matches("random_").parse::<usize>().unwrap()];
            runner.run(&sizes, |(time, batch, half, seed)| { run(time, batch, half, seed); Ok(()) }).unwrap();
        })*
    };
}

random_models! {
    random_0 Random0 random_1 Random1 random_2 Random2 random_3 Random3 random_4 Random4 random_5 Random5
    random_6 Random6 random_7 Random7 random_8 Random8 random_9 Random9 random_10 Random10 random_11 Random11
    random_12 Random12 random_13 Random13 random_14 Random14 random_15 Random15 random_16 Random16
    random_17 Random17 random_18 Random18 random_19 Random19 random_20 Random20 random_21 Random21
    random_22 Random22 random_23 Random23
}
