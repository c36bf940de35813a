//! Whole invocations, in process: what they come to, and every error's message.

use crate::compose::{self, Step, Units};
use crate::error::Diagnostics;
use crate::lower::{Programs, lower_unit};
use g2_ir::graph::Output;
use g2_ir::{Op, Per, Program};
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

// Errors: one test a stage, one line a class.

#[test]
fn syntax_errors_say_what_belongs_there() {
    check(
        "fn f(x) = if x { 1 } else { 2 };",
        &[
            "the only condition is `training`, decided when the graph is built; choose element by element with `select(a < b, x, y)`",
        ],
    );
    check("fn f(x) = { let y = x; };", &["a block ends with the expression that is its value"]);
    check(
        "cell A[n] { inputs x: [n]; }",
        &[
            "expected a declaration (`input`, `outer`, `state`, `param`, `hyper`), `let`, `output`, `loss` (in a model) or `next` (in a cell)",
        ],
    );
    check("cell A[n] { param x: index [n]; next () }", &["only an input can hold indices"]);
    check("cell A[n] { state h: [n]; next (h) next (h) }", &["`next` stands once, at the end of a cell"]);
}

#[test]
fn unknown_names_get_the_nearest_known_one() {
    check("fn f(alpha) = alpa + 1;", &["unknown name `alpa`; did you mean `alpha`?"]);
    check("fn f(x) = sigmiod(x);", &["unknown primitive or fn `sigmiod`; did you mean `sigmoid`?"]);
    check("fn f(x) = gumbel_sigmid(x, 1);", &["unknown primitive or fn `gumbel_sigmid`"]);
    check(
        "cell A[batch] { input x: [bach]; next (x) }",
        &["unknown dimension `bach`; did you mean `batch`?", "the cell has 0 states, next gives 1"],
    );
    check(
        "model M[time, batch, n] { input x: [time, batch, n]; let s = scan Rn(x); loss mean(x); }",
        &["unknown cell `Rn`; did you mean `Rnn`?"],
    );
    check(
        "model M[time, batch, input, hidden] { input x: [time, batch, input]; let s = scan Rnn(x); loss mean(s.hh); }",
        &["`Rnn` has no state and no output `hh`; did you mean `h`?"],
    );
    check(
        "model M = LanguageModl<Rnn>;",
        &["unknown item `LanguageModl`; items of other graphs come in by `use path::LanguageModl;`"],
    );
}

#[test]
fn names_are_declared_once_and_used() {
    check("fn f(x, x) = x;", &["`x` is declared twice", "`x` is first declared here"]);
    check("fn f(x) = x; fn f(x) = x + 1;", &["`f` is declared twice in this graph"]);
    check("fn sigmoid(x) = x;", &["`sigmoid` is a builtin; choose another name"]);
    check("fn f(x) = { let [a, a] = split(x); a };", &["`a` is declared twice", "`a` is first declared here"]);
    check(
        "cell A[n] { input x: [n]; state h: [n]; param w: [n]; next (h) }",
        &["input `x` is never used; use it or leave it out", "param `w` is never used; use it or leave it out"],
    );
    check(
        "fn f(x) = g(x); fn g(x) = f(x) + 1;",
        &[
            "`f` calls itself (f -> g -> f); a fn is written out at each call, so none can be recursive",
            "`g` calls itself (g -> f -> g); a fn is written out at each call, so none can be recursive",
        ],
    );
    check(
        "cell A[n] { input x: [n]; state h: [n]; let h = h + x; }",
        &["cell `A` has no `next`; end it with `next (h)`"],
    );
    check(
        "model M[n] { input x: [n]; state h: [n]; loss sum(x + h); }",
        &["`state` belongs to a cell; in a model, scan a cell `carried`"],
    );
}

/// Checks the errors of a model's body.
fn check_model(body: &str, messages: &[&str]) {
    check(&format!("model M[time, batch, input, hidden] {{ {body} }}"), messages);
}

#[test]
fn shapes_that_do_not_meet_are_shown() {
    let decls = "input x: [batch, input]; param w: [hidden, batch];";
    check_model(
        &format!("{decls} loss sum(x @ w);"),
        &["matmul needs [m, k] x [k, n], found x: [batch, input] and w: [hidden, batch]"],
    );
    check_model(
        "input x: [batch, input]; param w: [hidden, input]; loss sum(x @ w);",
        &["matmul needs [m, k] x [k, n], found x: [batch, input] and w: [hidden, input]; transpose the second: `w.t`"],
    );
    check_model(
        &format!("{decls} loss sum(x + w);"),
        &[
            "`+` needs operands of one shape (a scalar or a suffix of the shape will do), found x: [batch, input] and w: [hidden, batch]; spread one out with `broadcast(x, [..])`",
        ],
    );
    check_model(
        "input x: [batch, input]; loss sum(gate(x, x.t));",
        &[
            "in `gate`: `/` needs operands of one shape (a scalar or a suffix of the shape will do), found [batch, input] and tau: [input, batch]; spread one out with `broadcast(x, [..])`",
            "`/` needs operands of one shape (a scalar or a suffix of the shape will do), found [batch, input] and tau: [input, batch]; spread one out with `broadcast(x, [..])`",
        ],
    );
    check_model(
        "input x: [batch, input]; loss sum(broadcast(x, [input, batch]));",
        &["broadcast to [input, batch] needs the dimensions of x: [batch, input] among those of the target, in order"],
    );
    check_model(
        "input x: [batch, 4 * input]; let [a, b, c] = split(x); loss sum(a);",
        &["split into 3 needs a dimension that 3 divides, found 4 * input (axis 1 of [batch, 4 * input])"],
    );
    check_model(
        "input x: [batch, input]; let [a, b] = split(x, [input, input, input]); loss sum(a);",
        &["the parts sum to 3 * input, axis 1 of [batch, input] is input"],
    );
    check_model(
        "input x: [batch, input]; let [a, b] = split(x, [input]); loss sum(a);",
        &["this has 1 parts, the pattern takes 2", "2 names for 1 parts"],
    );
    check_model("input x: [batch, input]; loss sum(x, axis = 2);", &["[batch, input] has no axis 2"]);
    check_model(
        "input x: [batch, input]; loss x;",
        &["the loss is a scalar, found [batch, input]; reduce it: `mean(..)` or `sum(..)`"],
    );
    check_model("input x: [batch, input]; loss sum(x); loss mean(x);", &["a model has one loss; add the parts up"]);
    check_model("input x: [batch, input]; loss sum(exp(x, x));", &["`exp` takes 1 argument, found 2"]);
    check_model("input x: [batch, input]; loss sum(reverse(x, 0));", &["this is written reverse(x, axis = 0)"]);
    check_model(
        "input x: [batch, input]; loss sum(x * 2) + sum(uniform());",
        &["this is drawn by uniform() and meets nothing that has a shape; write the shape: `uniform([batch, hidden])`"],
    );
    check_model(
        "input ids: index [batch]; param w: [batch]; loss sum(w * ids);",
        &[
            "found index [batch], which holds indices: they select and have no gradient, so they take no part in arithmetic; use them in `embedding`, `pick` or `cross_entropy`",
        ],
    );
    check_model(
        "input x: [batch, input]; loss sum(dropout(x, x));",
        &["a dropout probability is a scalar, found [batch, input]"],
    );
}

#[test]
fn cells_give_their_states_next_values() {
    check("cell A[n, m] { input x: [n]; state h: [n]; next (h, x) }", &["the cell has 1 states, next gives 2"]);
    check("cell A[n, m] { input x: [m]; state h: [n]; next (x) }", &["state `h` is [n], its next value is [m]"]);
}

#[test]
fn scans_fit_their_cells() {
    let decls = "input x: [time, batch, input];";
    let scan = |scan: &str| format!("{decls} let s = {scan}; loss mean(s.h) + sum(x);");
    check_model(&scan("scan Rnn()"), &["`Rnn` takes (x); `x` is missing"]);
    check_model(&scan("scan Rnn(x, x)"), &["`Rnn` takes (x); this argument has no place"]);
    check_model(&scan("scan Rnn(y = x)"), &["`Rnn` takes (x); this argument has no place"]);
    check_model(
        &scan("scan Rnn(sum(x, axis = 0))"),
        &["`x` of `Rnn` is scanned as [time, batch, input], found [batch, input]"],
    );
    check_model(&scan("scan gate(x)"), &["`gate` is a fn, and scan runs a cell"]);
    check_model(&scan("scan Rnn(x) from (1, 2)"), &["`Rnn` has 1 states, found 2 initial values"]);
    check_model(
        &scan("scan Rnn(x) from (sum(x)) carried"),
        &["a carried scan begins where the last run ended; leave out `from` or `carried`"],
    );
    check_model(&scan("scan Rnn[hiden = 2](x)"), &["unknown dimension of `Rnn` `hiden`; did you mean `hidden`?"]);
    check_model(&scan("scan Rnn[input = 2](x)"), &["`input` is 2 here, but the arguments make it input"]);
    check(
        "model M[time, batch, n] { input x: [time, batch, n]; let s = scan Rnn(x); loss mean(s.h); }",
        &["dimension `hidden` of `Rnn` is not determined by the arguments; give it: `scan Rnn[hidden = ..](..)`"],
    );
    check_model(
        "input x: [time, batch, hidden], m: [time, batch, hidden]; let s = scan Attending(x, m); loss mean(s.h);",
        &[
            "`memory` of `Attending` is [batch, source, hidden], that is [batch, batch, hidden] here; found [time, batch, hidden]",
        ],
    );
    check_model(
        "input x: [time, batch, hidden]; let s = scan Rnn(x); let z = scan Rnn(s.h); loss mean(z.h);",
        &["two leaves of this model are called `w`; name this scan's: `scan .. as NAME` makes it `NAME.w`"],
    );
    check_model(
        "input x: [time, batch, input]; let s = scan Rnn(x); loss mean(s);",
        &["this is a scan of `Rnn`; read one of its results: `.h`"],
    );
    check_model(
        "input x: [time, batch, input]; let s = scan Rnn(x); loss mean(last(x));",
        &["last takes a state of a scan: `last(s.h)`; an output is sliced: `slice(y, time - 1, 1, axis = 0)`"],
    );
}

#[test]
fn stacks_change_the_width_and_nothing_else() {
    check_model(
        "input x: [time, batch, input]; let y = stack layers[a -> b] over x to hidden { sum(x, axis = 0) }; loss sum(y);",
        &[
            "the result of a layer of `layers` has the shape of its input with `b` as the last axis, [time, batch, layers.b]; found [batch, layers.a]",
        ],
    );
    check_model(
        "input x: [time, batch, input]; let y = stack layers[a -> b] over x to hidden { state h: [b]; x }; loss sum(y);",
        &[
            "a stack declares `param` and `hyper`; `state` belongs to a cell or a model",
            "the result of a layer of `layers` has the shape of its input with `b` as the last axis, [time, batch, layers.b]; found [time, batch, layers.a]",
        ],
    );
}

#[test]
fn templates_take_the_cells_they_name() {
    check(
        &format!("{LANGUAGE_MODEL} model N = LanguageModel<G2Lstm, Rnn>;"),
        &["`LanguageModel` takes <Cell>, found 2"],
    );
    check(&format!("{LANGUAGE_MODEL} model N = LanguageModel<gate>;"), &["`gate` is a fn, not a cell"]);
    check(&format!("{LANGUAGE_MODEL} model N = Rnn<Rnn>;"), &["`Rnn` is not a model template"]);
    check(
        &format!("{LANGUAGE_MODEL} model N = LanguageModel<Rnn>;"),
        &["in `LanguageModel`: `Rnn` has no state and no output `i`", "`Rnn` has no state and no output `i`"],
    );
}

#[test]
fn one_mistake_is_one_error() {
    check(
        "fn f(x) = y; fn g(x) = f(x); cell A[n] { input x: [n]; state h: [n]; next (g(x) + h) } model M[t, n] { input x: [t, n]; let s = scan A(x); loss sum(s.h); }",
        &["unknown name `y`"],
    );
    check_model(
        "input x: [batch, input]; let a = x + x.t; let b = a * 2; let c = b.t; loss sum(c);",
        &[
            "`+` needs operands of one shape (a scalar or a suffix of the shape will do), found x: [batch, input] and x.t: [input, batch]; spread one out with `broadcast(x, [..])`",
        ],
    );
}
