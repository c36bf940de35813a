//! What models come to: leaves, outputs, draws and loops.

use super::{CELLS, LANGUAGE_MODEL, expand, gather, leaves, lower, output};
use crate::error::Diagnostics;
use g2_ir::graph::Output;
use g2_ir::{Op, Per};

#[test]
fn the_language_model_compiles_in_all_modes() {
    let (models, errors) = expand(&format!("{CELLS} {LANGUAGE_MODEL}"));
    assert_eq!(errors, [""; 0]);
    let model = &models["G2LanguageModel"];
    let training = model.training.as_ref().unwrap();
    let expected = [
        "Input tokens: index [time, batch]",
        "Input targets: index [time, batch]",
        "Param embed: [vocab, embedding]",
        "Param decoder: [vocab, features]",
        "Param bias: [vocab]",
        "Hyper p_embed: []",
        "Hyper p_in: []",
        "Hyper p_out: []",
        "Hyper layers.p: each layers: []",
        "State layers.h: each layers: [batch, layers.hidden]",
        "State layers.c: each layers: [batch, layers.hidden]",
        "Param layers.w_x: each layers: [4 * layers.hidden, layers.input]",
        "Param layers.w_h: each layers: [4 * layers.hidden, layers.hidden]",
        "Param layers.b: each layers: [4 * layers.hidden]",
        "Hyper tau: []",
    ];
    for program in [training, &model.sampling, &model.evaluation] {
        assert_eq!(leaves(program), expected);
    }
    assert_eq!(training.outputs[..3], [Output::Loss, Output::Next(9), Output::Next(10)]);
    assert!(training.outputs[3..].iter().all(|o| matches!(o, Output::Grad(_))));
    assert_eq!(output(&model.sampling, "nll"), "[time, batch]");
    assert_eq!(output(&model.sampling, "layers.i"), "each layers: [time, batch, layers.hidden]");
    assert_eq!(uniforms(&model.evaluation.graph), []);
}

/// Site, period and shape of every draw, loops included.
fn uniforms(graph: &g2_ir::Graph) -> Vec<(u32, Per, String)> {
    let mut found = Vec::new();
    for node in &graph.nodes {
        match &node.op {
            Op::Uniform { site, per, shape } => found.push((*site, *per, shape.to_string())),
            Op::Loop(lp) => found.extend(uniforms(&lp.body)),
            _ => {}
        }
    }
    found.sort_by_key(|draw| draw.0);
    found
}

/// A model over a cell's inputs, with `body` in it; `y` names what is to be looked at.
fn shape_of(decls: &str, value: &str) -> String {
    let programs = lower(&format!("model M[time, batch, n, m] {{ {decls} output y = {value}; }}"));
    assert!(programs.training.is_none());
    output(&programs.sampling, "y")
}

#[test]
fn every_builtin_has_its_shape() {
    let x = "input x: [time, batch, n];";
    for (value, shape) in [
        ("exp(x) + ln(x) * logit(x) - sigmoid(x) / tanh(x) + relu(x) + square(x) + sqrt(x)", "[time, batch, n]"),
        ("max(x, 0) + select(x < 1, -x, 2)", "[time, batch, n]"),
        ("x + uniform() + locked_uniform()", "[time, batch, n]"),
        ("x * uniform([batch, n])", "[time, batch, n]"),
        ("concat(x, x, x)", "[time, batch, 3 * n]"),
        ("concat(x, x, axis = 0)", "[2 * time, batch, n]"),
        ("slice(x, 1, time - 1, axis = 0)", "[time - 1, batch, n]"),
        ("reverse(x, axis = 0) + reverse(x)", "[time, batch, n]"),
        ("broadcast(x, [m, time, 2, batch, n])", "[m, time, 2, batch, n]"),
        ("broadcast(sum(x, axis = -1), [time, batch, n]) + x", "[time, batch, n]"),
        ("sum(x)", "[]"),
        ("sum(x, axes = [0, -1])", "[batch]"),
        ("mean(x) + mean(x, axis = 1) / size(2 * n + 1)", "[time, n]"),
        ("softmax(x) + log_softmax(x) + softmax(x, x > 0)", "[time, batch, n]"),
        ("insert(x, axis = 1)", "[time, 1, batch, n]"),
        ("remove(insert(x, axis = 3), axis = -1)", "[time, batch, n]"),
        ("dropout(x, 0.5) + locked_dropout(x, 0.5) + weight_drop(x, 0.5)", "[time, batch, n]"),
        ("x @ x.t", "[time, batch, batch]"),
        ("x.t", "[time, n, batch]"),
        ("{ let [a, b] = split(concat(x, x)); a * b }", "[time, batch, n]"),
        ("{ let [a, b] = split(concat(x, x, x), [n, 2 * n]); b }", "[time, batch, 2 * n]"),
        ("{ let (a, b) = (x, 1); a * b }", "[time, batch, n]"),
        ("1 - 2 * (x < 0)", "[time, batch, n]"),
        ("if training { x } else { x * 2 }", "[time, batch, n]"),
    ] {
        assert_eq!(shape_of(x, value), shape, "{value}");
    }
    let tables = "input ids: index [time, batch]; param w: [n, m];";
    for (value, shape) in [
        ("embedding_dropout(w, ids, 0.1)", "[time, batch, m]"),
        ("cross_entropy(embedding(w, ids), ids) + pick(embedding(w, ids), ids)", "[time, batch]"),
    ] {
        assert_eq!(shape_of(tables, value), shape, "{value}");
    }
    assert_eq!(shape_of("input lengths: index [batch];", "length_mask(lengths, time)"), "[time, batch]");
}

#[test]
fn a_gate_draws_once_for_each_call_and_a_dropout_by_its_rule() {
    let decls = "input x: [time, batch, n]; hyper tau;";
    let draws = |value: &str| {
        let programs = lower(&format!("model M[time, batch, n] {{ {decls} output y = {value} + tau; }}"));
        assert_eq!(uniforms(&programs.evaluation.graph), []);
        uniforms(&programs.sampling.graph)
    };
    let whole = "[time, batch, n]".to_owned();
    assert_eq!(draws("gate(x, tau) * gate(x, tau)"), [(0, Per::Step, whole.clone()), (1, Per::Step, whole.clone())]);
    assert_eq!(draws("dropout(x, 0.1)"), [(0, Per::Step, whole.clone())]);
    assert_eq!(draws("locked_dropout(x, tau)"), [(0, Per::Sequence, "[batch, n]".to_owned())]);
    assert_eq!(draws("{ let u = if training { uniform() } else { 0 }; x * u + (1 - u) * x }"), [(0, Per::Step, whole)]);
    let scanned = "scan Rnn[hidden = n](x)";
    assert_eq!(draws(&format!("{{ let s = {scanned}; s.h }}")), []);
}

#[test]
fn products_read_transposed_factors_as_they_lie() {
    let programs = lower("model M[a, b, c] { input x: [a, b]; param w: [c, b]; output y = x @ w.t; }");
    let found: Vec<&Op> =
        programs.sampling.graph.nodes.iter().map(|n| &n.op).filter(|o| !matches!(o, Op::Arg(_))).collect();
    assert_eq!(found, [&Op::MatMul { ta: false, tb: true, fold: false }]);
}

#[test]
fn scans_take_their_options_in_any_order() {
    let decls = "input x: [time, batch, n], lengths: index [batch]; input h0: [batch, m];";
    let model = |scans: &str| {
        lower(&format!("model M[time, batch, n, m] {{ {decls} {scans} output l = length_mask(lengths, time); }}"))
    };
    let programs = model(
        "let a = scan Rnn[hidden = m](x) as first, reversed from (h0) masked lengths;
         let b = scan Rnn(a.h) from (h0), as second;
         let c = scan Rnn[hidden = 2 * m](concat(x, x)) carried as third;
         output y = b.h; output z = last(a.h); output w = last(c.h); loss mean(b.h) + mean(last(c.h));",
    );
    assert_eq!(output(&programs.sampling, "y"), "[time, batch, m]");
    assert_eq!(output(&programs.sampling, "z"), "[batch, m]");
    assert_eq!(output(&programs.sampling, "w"), "[batch, 2 * m]");
    assert_eq!(
        leaves(&programs.sampling)[3..],
        [
            "Param first.w: [m, n]",
            "Param first.u: [m, m]",
            "Param second.w: [m, m]",
            "Param second.u: [m, m]",
            "State third.h: [batch, 2 * m]",
            "Param third.w: [2 * m, 2 * n]",
            "Param third.u: [2 * m, 2 * m]",
        ]
    );
    assert!(programs.sampling.outputs.contains(&Output::Next(7)));
    let loops: Vec<_> = programs
        .sampling
        .graph
        .nodes
        .iter()
        .filter_map(|n| if let Op::Loop(lp) = &n.op { Some(lp) } else { None })
        .collect();
    assert_eq!(loops.iter().map(|l| l.reversed).collect::<Vec<_>>(), [true, false, false]);
    // consts (w, u), steps (x and, masked, the mask), carries (h)
    assert_eq!(
        loops.iter().map(|l| (l.consts, l.steps, l.carries)).collect::<Vec<_>>(),
        [(2, 2, 1), (2, 1, 1), (2, 1, 1)]
    );
}

#[test]
fn a_cell_reads_an_outer_tensor_whole_at_every_step() {
    let programs = lower(
        "model M[time, batch, hidden, source] {
            input x: [time, batch, hidden], m: [batch, source, hidden];
            let s = scan Attending(x, memory = m);
            loss mean(s.h);
         }",
    );
    let training = programs.training.unwrap();
    let lp = training.graph.nodes.iter().find_map(|n| if let Op::Loop(lp) = &n.op { Some(lp) } else { None }).unwrap();
    assert_eq!((lp.consts, lp.steps, lp.carries, lp.ys), (1, 1, 1, 0));
}

/// What an invocation expands to, as Rust items.
fn items(source: &str) -> Vec<syn::Item> {
    let mut errors = Diagnostics::default();
    let units = gather(&format!("{CELLS} {source}"), &mut errors);
    syn::parse2::<syn::File>(crate::expand_items(units, errors)).unwrap().items
}

#[test]
fn a_wrong_item_expands_to_a_stub_and_what_uses_it_stays_silent() {
    let wrong = "pub model M[n] { input x: [n]; loss x; } pub cell A[n] { nonsense }";
    let names: Vec<String> = items(wrong)
        .iter()
        .filter_map(|item| if let syn::Item::Struct(item) = item { Some(item.ident.to_string()) } else { None })
        .collect();
    assert_eq!(names, ["G2Lstm", "Attending", "Rnn", "M", "A"]);
    let errors = items(wrong)
        .iter()
        .filter(|i| matches!(i, syn::Item::Macro(m) if m.mac.path.segments.last().unwrap().ident == "compile_error"))
        .count();
    assert_eq!(errors, 2);
}

#[test]
fn the_documentation_names_every_builtin() {
    let docs: String = include_str!("../lib.rs").lines().filter(|l| l.starts_with("///")).collect();
    for name in crate::lower::call::builtin_names()
        .filter(|n| !["neg", "add", "sub", "mul", "div", "greater", "less"].contains(n))
    {
        assert!(docs.contains(name), "{name}");
    }
}

#[test]
fn the_documented_example_compiles() {
    let lines = include_str!("../lib.rs").lines().skip_while(|l| *l != "/// graph! {").skip(1);
    let example: String =
        lines.take_while(|l| *l != "/// }").map(|l| format!("{}\n", l.trim_start_matches("///"))).collect();
    let (models, errors) = expand(&example);
    assert_eq!(errors, [""; 0]);
    assert!(models.contains_key("RnnTagger"));
}

#[test]
fn an_encoder_with_attention_compiles() {
    let source = "
        cell Decoder[batch, input, hidden, source] {
            input x: [batch, input];
            outer memory: [source, batch, hidden], mask: [batch, source];
            state h: [batch, hidden], context: [batch, hidden];
            param w: [hidden, input], u: [hidden, 2 * hidden], b: [hidden], q: [hidden, hidden];
            hyper p, tau;

            let h = tanh(x @ w.t + concat(h, context) @ weight_drop(u, p).t + b);
            let scores = sum(memory * (gate(h, tau) @ q), axis = -1) / sqrt(size(hidden));
            let weights = softmax(scores.t, mask);
            output weights;
            next (h, sum(memory * broadcast(weights.t, [source, batch, hidden]), axis = 0))
        }
        pub model M[time, source, batch, vocab, width, hidden] {
            input words: index [source, batch], lengths: index [batch];
            input given: index [time, batch], wanted: index [time, batch], wanted_lengths: index [batch];
            param embed: [vocab, width], decoder: [vocab, 2 * hidden], bridge: [2 * hidden, hidden];
            hyper p_in, p;

            let x = embedding_dropout(embed, words, p_in);
            let forward = scan G2Lstm[hidden = hidden](x) masked lengths as forward;
            let backward = scan G2Lstm[hidden = hidden](x) masked lengths reversed as backward;
            let memory = concat(forward.h, backward.h) @ bridge;
            let s = scan Decoder(embedding(embed, given), memory, length_mask(lengths, source).t)
                from (last(forward.h), last(backward.h)) as attention;
            let logits = concat(s.h, s.context) @ decoder.t;
            let mask = length_mask(wanted_lengths, time);
            output weights = s.weights;
            output nll = cross_entropy(logits, wanted) * mask;
            loss sum(nll) / sum(mask);
        }";
    let (models, errors) = expand(&format!("{CELLS} {source}"));
    assert_eq!(errors, [""; 0]);
    let model = &models["M"];
    assert_eq!(output(&model.evaluation, "weights"), "[time, batch, source]");
    let grads = model.training.as_ref().unwrap().outputs.iter().filter(|o| matches!(o, Output::Grad(_))).count();
    // embed, decoder, bridge; w_x, w_h, b twice; w, u, b, q.
    assert_eq!(grads, 3 + 2 * 3 + 4);
}
