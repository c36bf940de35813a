//! `g2-macros`: `graph!`, from tokens to a static graph to Rust.
//!
//! ```text
//! parse    tokens to items, statements, expressions
//! compose  `use` brings in items of other graphs; each item exports itself
//! names    names known, declared once, used
//! lower    names become nodes, shapes are checked: one program for each mode
//! g2_ir    hoist, differentiate, simplify, fuse; verified after each
//! emit     programs and kernels as Rust
//! ```
//!
//! The macro reads nothing but its tokens. All errors of an invocation are reported in one build, and a wrong item
//! still expands to a stub, so that what follows it stays silent.

mod ast;
mod compose;
mod emit;
mod error;
mod lower;
mod names;
mod parse;
#[cfg(test)]
mod tests;

use compose::{Step, Units};
use error::{Diagnostics, Reported};
use g2_ir::Program;
use lower::{Programs, lower_unit};
use proc_macro2::TokenStream;
use std::collections::{BTreeMap, BTreeSet};

/// Defines functions, cells and models as equations.
///
/// ```text
/// graph! {
///     // `use path::{Item, Other as Name};` brings in items of other graphs, from any module, file or crate.
///
///     pub fn gumbel_sigmoid(a, tau) = sigmoid((a + logit(uniform())) / tau);
///     pub fn gate(a, tau) = if training { gumbel_sigmoid(a, tau) } else { sigmoid(a) };
///
///     pub cell Rnn[batch, input, hidden, source] {      // one step in time
///         input x: [batch, input];              // a slice of it at each step
///         outer memory: [batch, source];        // read whole at each step
///         state h: [batch, hidden];
///         param w: [hidden, input], u: [hidden, hidden];
///         hyper tau;                            // a scalar
///
///         let y = x @ w.t + h @ u.t;
///         output i = gate(y + mean(memory), tau);   // a result of each step
///         next (tanh(y))                        // the states after the step, in order
///     }
///
///     pub model Tagger<Cell>[time, batch, source, width, features, tags] {   // a template over a cell
///         input x: [time, batch, width], y: index [time, batch], lengths: index [batch], memory: [batch, source];
///         param w: [tags, features];
///         hyper p;
///         let z = stack layers[input -> hidden] over x to features {     // number and widths of layers: later
///             hyper q;                                                   // one for each layer
///             let s = scan Cell(locked_dropout(x, q), memory = memory) reversed masked lengths;
///             output i = s.i;                                            // a result of each layer
///             s.h
///         };
///         let logits = locked_dropout(z, p) @ w.t;
///         output nll = cross_entropy(logits, y);
///         loss mean(nll);
///     }
///     pub model RnnTagger = Tagger<Rnn>;
/// }
/// ```
///
/// A model expands to a type of its name that implements `g2_engine::Model`, with three programs: *training* (loss,
/// gradients, next states), *sampling* (noise on, named outputs) and *evaluation* (dropouts are identities,
/// `if training` takes its second block). Without a `loss` there is no training program.
///
/// **Shapes.** Dimensions are names, numbers, and `+ - *` of them. Element-wise operands have one shape, or one is a
/// scalar, or one's shape is a suffix of the other's; anything else is spread out by `broadcast(x, [time, batch, n])`,
/// which finds the dimensions of `x` in the target from the right.
///
/// **Expressions**, loosest first: `< >` (giving 1 or 0), `+ -`, `* / @`, unary `-`, `x.t` (the last two axes
/// swapped), `s.h` (a scan's state after each step, or its output); `{ let ..; value }`; `let [a, b] = ..` and
/// `let (a, b) = ..` take lists apart. `output name = value` also binds the name. A `fn` has no shapes of its own: it is written out at each call, its arguments
/// evaluated once.
///
/// **Primitives.** `exp ln logit sigmoid tanh relu square sqrt`, `max(a, b)`, `select(condition, a, b)`; `uniform()` and
/// `locked_uniform()` (drawn once a sequence), which take the shape of what they meet or `uniform([batch, n])`;
/// `size(dim)`.
///
/// **Tensors.** `split(x)` into as many parts as the pattern has, `split(x, [d1, d2])`, `concat(a, b, ..)`,
/// `slice(x, start, len)`: along the last axis or `axis = k`, where -1 is the last; `reverse(x, axis = 0)`,
/// `insert(x, axis = 0)`, `remove(x, axis = 0)`; `sum` and `mean` of all, `axis = k` or `axes = [0, 1]`;
/// `softmax(x)`, `softmax(x, mask)`, `log_softmax(x)`; `embedding(table, ids)`, `pick(x, ids)`,
/// `cross_entropy(logits, ids)`, `length_mask(lengths, time)`; `last(s.h)`, the state after a scan's last step.
///
/// **Dropouts.** `dropout(x, p)`, each element by itself; `locked_dropout(x, p)`, in a model the same at each index of
/// axis 0, in a cell the same at each step; `embedding_dropout(table, ids, p)`, whole rows, then looked up;
/// `weight_drop(w, p)`, once a sequence.
///
/// **Scans.** `scan Cell[hidden = dim](inputs, outers, or name = value)`, then in any order, with or without commas:
/// `from (h0, c0)` (else zeros), `carried` (states stay from run to run), `reversed`, `masked lengths` (a row's states
/// stop at its length; what the cell puts out beyond it is still computed: weigh it by `length_mask`), `drop w by p`
/// (weight drop on the cell's parameter `w`), `as NAME` (its leaves are `NAME.w`). The cell's dimensions follow from the
/// arguments, then `[hidden = dim]`, then the dimension of the same name here. Its hypers are the values of that name
/// here, else one hyper of the model, shared.
#[proc_macro]
pub fn graph(tokens: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let mut errors = Diagnostics::default();
    let step = compose::begin(tokens.into(), &mut errors);
    expand_step(step, errors).into()
}

/// Continues a `graph!` with an item that it imports. Called by what `graph!` expands to.
#[doc(hidden)]
#[proc_macro]
pub fn __import(tokens: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let mut errors = Diagnostics::default();
    match compose::resume(tokens.into(), &mut errors) {
        Ok(step) => expand_step(step, errors).into(),
        Err(error) => error.into_compile_error().into(),
    }
}

/// Expands to `PRIMITIVES`: a kernel for each primitive, by the same emitter as the fused ones.
#[proc_macro]
pub fn primitive_kernels(_: proc_macro::TokenStream) -> proc_macro::TokenStream {
    emit::expand_primitives().into()
}

fn expand_step(step: Step, errors: Diagnostics) -> TokenStream {
    match step {
        Step::Import(call) => call,
        Step::Ready(units) => expand_items(units, errors),
    }
}

fn expand_items(mut units: Units, mut errors: Diagnostics) -> TokenStream {
    let programs = check_items(&mut units, &mut errors);
    let mut expanded = errors.expand();
    for (k, (key, name, head)) in units.own.iter().enumerate() {
        if units.own[..k].iter().any(|(_, earlier, _)| earlier == name) {
            continue; // Declared twice, as is reported.
        }
        if head.keyword != "fn" {
            expanded.extend(emit::expand_carrier(&head.attributes, &head.visibility, name));
        }
        let template = matches!(&units.all[key].item, Some(ast::Item { kind: ast::ItemKind::Model(m), .. }) if !m.templates.is_empty());
        if head.keyword == "model" && !template {
            expanded.extend(emit::expand_model(name, programs.get(key)));
        }
        expanded.extend(compose::expand_export(&units, key, name, head));
    }
    expanded
}

/// Checks all items, cells before the models that scan them, and compiles the models; items found wrong lose their
/// syntax.
fn check_items(units: &mut Units, errors: &mut Diagnostics) -> BTreeMap<String, Programs> {
    let mut failed: BTreeSet<String> = names::check_names(units, errors);
    let mut programs = BTreeMap::new();
    let own = units.own.clone();
    for keyword in ["fn", "cell", "model"] {
        for (key, name, _) in own.iter().filter(|(.., head)| head.keyword == keyword) {
            let mut silent = Diagnostics::default();
            // What uses a wrong item says only what its names are, so that one mistake is one error.
            let spoiled = failed_in_closure(units, &failed, key);
            let errors = if spoiled { &mut silent } else { &mut *errors };
            let lowered = lower_unit(units, key, errors);
            let compiled = match lowered {
                Ok(Some(_)) if failed.contains(key) => Err(Reported),
                lowered => lowered.and_then(|p| p.map(|p| compile(p, name, errors)).transpose()),
            };
            match compiled {
                Ok(Some(compiled)) => {
                    programs.insert(key.clone(), compiled);
                }
                Ok(None) => {}
                Err(Reported) => {
                    failed.insert(key.clone());
                }
            }
        }
    }
    for (key, ..) in &own {
        if failed.contains(key) || failed_in_closure(units, &failed, key) {
            programs.remove(key);
            failed.insert(key.clone());
        }
    }
    for key in failed {
        if let Some(unit) = units.all.get_mut(&key) {
            unit.item = None;
        }
    }
    programs
}

/// Whether anything that the unit needs, besides itself, is wrong.
fn failed_in_closure(units: &Units, failed: &BTreeSet<String>, key: &str) -> bool {
    let mut closure = vec![key];
    let mut next = 0;
    while let Some(unit) = closure.get(next).and_then(|k| units.all.get(*k)) {
        for needed in unit.scope.values().map(String::as_str) {
            let wrong = failed.contains(needed) || units.all.get(needed).is_none_or(|u| u.item.is_none());
            if wrong && needed != key {
                return true;
            }
            if !closure.contains(&needed) {
                closure.push(needed);
            }
        }
        next += 1;
    }
    false
}

fn compile(programs: Programs, name: &proc_macro2::Ident, errors: &mut Diagnostics) -> Result<Programs, Reported> {
    let mut compile = |program: Program| {
        let mode = program.mode;
        g2_ir::compile(program).map_err(|error| errors.report(name, format!("`{name}` ({mode:?}): {error}")))
    };
    let training = programs.training.map(&mut compile).transpose();
    let (sampling, evaluation) = (compile(programs.sampling), compile(programs.evaluation));
    Ok(Programs { training: training?, sampling: sampling?, evaluation: evaluation? })
}
