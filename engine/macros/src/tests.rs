//! Whole invocations, in process: what they come to (`graphs`), what that computes (`meaning`), and every error's
//! message (`errors`).

mod errors;
mod graphs;
mod meaning;

use crate::compose::{self, Step, Units};
use crate::error::Diagnostics;
use crate::lower::{Programs, lower_unit};
use g2_ir::Program;
use g2_ir::graph::Output;
use proc_macro2::TokenStream;
use std::collections::BTreeMap;
use std::str::FromStr;

/// Gates and cells that the models below use.
const CELLS: &str = "
    /// Gumbel sigmoid.
    pub fn gumbel_sigmoid(a, tau) = sigmoid((a + logit(uniform())) / tau);
    pub fn gate(a, tau) = if training { gumbel_sigmoid(a, tau) } else { sigmoid(a) };

    pub cell G2Lstm[batch, input, hidden] {
        input x: [batch, input];
        state h: [batch, hidden], c: [batch, hidden];
        param w_x: [4 * hidden, input], w_h: [4 * hidden, hidden], b: [4 * hidden];
        hyper tau;

        let [i, f, g, o] = split(x @ w_x.t + h @ w_h.t + b);
        let i = gate(i, tau);
        let f = gate(f, tau);
        let c = f * c + i * tanh(g);
        let h = sigmoid(o) * tanh(c);
        output i, f;
        next (h, c)
    }
    cell Attending[batch, hidden, source] {
        input x: [batch, hidden];
        outer memory: [batch, source, hidden];
        state h: [batch, hidden];
        let scores = remove(insert(h, axis = 1) @ memory.t, axis = 1);
        let context = remove(insert(softmax(scores), axis = 1) @ memory, axis = 1);
        next tanh(x + context)
    }
    cell Rnn[batch, input, hidden] {
        input x: [batch, input];
        state h: [batch, hidden];
        param w: [hidden, input], u: [hidden, hidden];
        next (tanh(x @ w.t + h @ u.t))
    }
";

const LANGUAGE_MODEL: &str = "
    pub model LanguageModel<Cell>[time, batch, vocab, embedding, features] {
        input tokens: index [time, batch], targets: index [time, batch];
        param embed: [vocab, embedding], decoder: [vocab, features], bias: [vocab];
        hyper p_embed, p_in, p_out;

        let x = locked_dropout(embedding_dropout(embed, tokens, p_embed), p_in);
        let y = stack layers[input -> hidden] over x to features {
            hyper p;
            let s = scan Cell(locked_dropout(x, p)) carried;
            output i = s.i;
            s.h
        };
        let logits = locked_dropout(y, p_out) @ decoder.t + bias;
        output nll = cross_entropy(logits, targets);
        loss mean(cross_entropy(logits, targets));
    }
    pub model G2LanguageModel = LanguageModel<G2Lstm>;
";

/// The compiled models of a source, by name, and its errors.
fn expand(source: &str) -> (BTreeMap<String, Programs>, Vec<String>) {
    let mut errors = Diagnostics::default();
    let mut units = gather(source, &mut errors);
    let programs = crate::check_items(&mut units, &mut errors);
    let by_name = programs.into_iter().map(|(key, programs)| (units.all[&key].name.clone(), programs));
    (by_name.collect(), errors.messages())
}

fn gather(source: &str, errors: &mut Diagnostics) -> Units {
    match compose::begin(TokenStream::from_str(source).unwrap(), errors) {
        Step::Ready(units) => units,
        Step::Import(call) => panic!("tests have nothing to import from: {call}"),
    }
}

/// The one model `M` of the source after `CELLS`, before the passes.
fn lower(source: &str) -> Programs {
    let mut errors = Diagnostics::default();
    let units = gather(&format!("{CELLS} {source}"), &mut errors);
    let (key, ..) = units.own.iter().find(|(_, name, _)| name == "M").unwrap();
    let programs = lower_unit(&units, key, &mut errors);
    assert_eq!(errors.messages(), [""; 0]);
    let programs = programs.unwrap().unwrap();
    g2_ir::verify::verify_program(&programs.sampling).unwrap();
    // The passes take it too.
    assert_eq!(expand(&format!("{CELLS} {source}")).1, [""; 0]);
    programs
}

/// Checks the errors of a source that may use `CELLS`.
fn check(source: &str, messages: &[&str]) {
    let (_, found) = expand(&format!("{CELLS} {source}"));
    assert_eq!(found, messages, "in {source}");
}

/// `name: type` of each leaf.
fn leaves(program: &Program) -> Vec<String> {
    program
        .leaves
        .iter()
        .enumerate()
        .map(|(k, l)| format!("{:?} {}: {}", l.kind, l.name, program.leaf_type(k)))
        .collect()
}

/// The shape of the named output, as text.
fn output(program: &Program, name: &str) -> String {
    let k = program.outputs.iter().position(|o| matches!(o, Output::Named(n) if n == name)).unwrap();
    program.graph.output_type(k).to_string()
}
