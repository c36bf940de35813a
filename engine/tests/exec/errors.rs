//! Wrong sizes and wrong calls: each message names what is wrong.

use crate::cells::Tagger;
use crate::harness::*;
use crate::loops::stacked_case;
use crate::same_bits::{bindings, tagger};
use g2_engine::cpu::{Executor, Options};
use g2_engine::{Bindings, Compiled, Error, Fusion, Model, Parameters};

fn options() -> Options {
    Options { threads: 1, fusion: Fusion::Fused, seed: 0 }
}

fn check<T>(result: Result<T, Error>, expected: &str) {
    match result {
        Ok(_) => panic!("expected the error: {expected}"),
        Err(error) => assert_eq!(error.to_string(), expected),
    }
}

fn with(bindings: Bindings) -> Result<Executor<f32>, Error> {
    Executor::new(Tagger::DEFINITION.training.unwrap(), &bindings, options())
}

#[test]
fn sizes() {
    let mut missing = bindings();
    missing.sizes = missing.sizes.iter().filter(|(name, _)| *name != "vocab").collect();
    check(
        with(missing),
        "`embed`: [vocab, embedding]: dimension `vocab` is not bound to a number; bind it with `Bindings::with`",
    );
    let mut missing = bindings();
    missing.stacks.clear();
    check(with(missing), "stack `layers`: its layers' widths are not given; bind it with `Bindings::stack`");
    check(
        with(bindings().stack("layers", [])),
        "stack `layers`: it needs at least one layer; bind it with `Bindings::stack`",
    );
    check(
        with(bindings().stack("layers", [48, 39])),
        "stack `layers`: its last layer is 39 wide, but its output `features` is 40; bind it with `Bindings::stack`",
    );
}

#[test]
fn more_than_memory_can_hold() {
    check(
        with(bindings().with("vocab", (1 << 62) + 1)),
        "`embed`: [vocab, embedding]: [4611686018427387905, 24] is more than memory can hold; bind it with \
         `Bindings::with`",
    );
    let huge = bindings().with("vocab", 1 << 45);
    let error = Parameters::<f32>::new(Tagger::DEFINITION.training.unwrap(), &huge).unwrap_err().to_string();
    assert!(
        error.starts_with("the parameters would need ") && error.ends_with("make the dimensions smaller"),
        "{error}"
    );
}

#[test]
fn inputs() {
    let (mut executor, _) = tagger::<f32>(options());
    check(executor.set_index("token", &[0; 35]), "there is no index input `token`; there are: `tokens`, `targets`");
    check(executor.set_index("tokens", &[0; 34]), "`tokens` is [7, 5], which is 35 elements, found 34");
    check(executor.set_state("layers.2.h", &[]), {
        "there is no state `layers.2.h`; there are: `layers.0.h`, `layers.1.h`, `layers.0.c`, `layers.1.c`"
    });
    check(executor.set_input("x", &[]), "there is no input `x`; there are: none");
    let mut wrong = [0; 35];
    wrong[7] = 90;
    let Err(error) = executor.set_index("targets", &wrong) else { panic!("90 is no index of 90 rows") };
    let Error::Index { position: 7, found: 90, largest: 89, .. } = &error else { panic!("{error}") };
    assert!(executor.output("nil").is_err());
}

#[test]
fn an_index_is_below_every_table_it_selects_from() {
    let mut case = Case::new(&[("v", 50), ("w", 20), ("e", 4), ("t", 6)]);
    let large = case.input("large", &["v", "e"]);
    let small = case.input("small", &["w", "e"]);
    let ids = case.indices("ids", &["t"], 20);
    for table in [large, small] {
        let rows = case.g().op(g2_engine::ir::op::Op::Gather, &[table, ids]);
        case.output(rows);
    }
    let (mut executor, _) = case.executor::<f32>(&[], Case::options(1, Fusion::Unfused));
    executor.set_index("ids", &[19; 6]).unwrap();
    check(executor.set_index("ids", &[0, 1, 20, 3, 4, 5]), "`ids`[2] is 20, but embedding allows indices up to 19");
}

#[test]
fn order_and_layout() {
    let (mut executor, parameters) = tagger::<f32>(options());
    let mut gradients = parameters.zeros_like();
    check(
        executor.backward(&parameters, &mut gradients),
        "backward has to follow a forward run, with nothing set in between",
    );
    executor.forward(&parameters, 0).unwrap();
    executor.reset_states();
    check(
        executor.backward(&parameters, &mut gradients),
        "backward has to follow a forward run, with nothing set in between",
    );
    let other = bindings().with("vocab", 91);
    let other = Parameters::<f32>::new(Tagger::DEFINITION.training.unwrap(), &other).unwrap();
    check(
        executor.forward(&other, 0),
        "these parameters are laid out for another program or other sizes: expected `embed` [90, 24], found `embed` \
         [91, 24]",
    );
    executor.forward(&parameters, 0).unwrap();
    assert!(executor.backward(&parameters, &mut other.zeros_like()).is_err());
    executor.backward(&parameters, &mut gradients).unwrap();

    let evaluation = Tagger::DEFINITION.evaluation.unwrap();
    let mut evaluation = Executor::<f32>::new(evaluation, &bindings(), options()).unwrap();
    // Parameters are shared between the graphs of a definition.
    evaluation.forward(&parameters, 0).unwrap();
    check(
        evaluation.backward(&parameters, &mut gradients),
        "this program has no backward half: build the executor from the training graph",
    );
}

#[test]
fn kernels_of_another_program() {
    let compiled = Tagger::DEFINITION.training.unwrap();
    let without = Compiled { program: compiled.program, kernels: &[] };
    let Err(Error::Kernel { .. }) = Executor::<f32>::new(&without, &bindings(), options()) else {
        panic!("a program without its kernels");
    };
    let garbled = Compiled { program: &compiled.program[..20], kernels: compiled.kernels };
    let Err(Error::Program { .. }) = Executor::<f32>::new(&garbled, &bindings(), options()) else {
        panic!("half a program");
    };
}

#[test]
fn parameters_by_name() {
    let case = stacked_case(2, 2, &[4, 5, 3]);
    let parameters = Parameters::<f32>::of_program(&case.program, &case.bindings).unwrap();
    let names: Vec<&str> = parameters.names().collect();
    let expected = ["layers.0.w_x", "layers.1.w_x", "layers.0.w_h", "layers.1.w_h", "layers.0.b", "layers.1.b"];
    assert_eq!(names, expected);
    assert_eq!(parameters.shape("layers.1.w_x"), Some(&[12, 5][..]));
    assert_eq!(parameters.get("layers.0.b").map(<[f32]>::len), Some(20));
    assert_eq!(parameters.get("layers.2.b"), None);
    assert!(parameters.as_slice().as_ptr().cast::<u8>().align_offset(64) == 0);
    assert!(parameters.layout().entries().iter().all(|entry| entry.offset % 16 == 0));
}
