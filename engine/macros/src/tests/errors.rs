//! Every class of error, by its message: one test a stage.

use super::{LANGUAGE_MODEL, check, expand};

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
        "fn f(x) = stack l[i -> h] over x to n { let y = f(x); y };",
        &[
            "unknown dimension `n`",
            "`f` calls itself (f -> f); a fn is written out at each call, so none can be recursive",
        ],
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
    check(
        "cell A[n, m] { input x: [m]; state h: [n]; next (x) }",
        &["state `h` is [n], its next value is [m]", "state `h` is declared here"],
    );
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
        &["`x` of `Rnn` is scanned as [time, batch, input], found [batch, input]", "input `x` is declared here"],
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
            "outer `memory` is declared here",
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
fn what_is_too_much_is_an_error() {
    let too_deep = "more than 256 operations in one expression; give parts of it names with `let`";
    for expression in [
        format!("{}x{}", "exp(".repeat(3000), ")".repeat(3000)),
        format!("x{}", " + x".repeat(3000)),
        format!("{}x", "-".repeat(3000)),
    ] {
        check_start(&format!("fn f(x) = {expression};"), too_deep);
    }
    let doubling: String = (1..25).map(|k| format!("fn f{k}(x) = f{}(f{}(x));", k - 1, k - 1)).collect();
    let model = "model M[n] { param w: [n]; loss sum(f24(w)); }";
    check_start(
        &format!("fn f0(x) = exp(x); {doubling} {model}"),
        "in `f24`: this model is more than 2000 operations when its fns are written out",
    );
    check("model M[n] { param w: [n, n]; loss = sum(w); }", &["a loss has no name: write `loss sum(x);`"]);
    check("model M[n] { param w: [n, n]; loss sum(sum(w, axes = [0, 0])); }", &["sum names an axis twice"]);
}

/// Checks the first error.
fn check_start(source: &str, message: &str) {
    let errors = expand(source).1;
    assert_eq!(errors.first().map(String::as_str), Some(message), "in {}", &source[..60]);
}

#[test]
fn stacks_and_their_parts_have_names_of_their_own() {
    let twice = "param x: [time, batch, n]; \
                 let y = stack l[i -> h] over x to n { param w: [i, h]; x @ w }; \
                 let z = stack l[i -> h] over y to n { param v: [i, h]; x @ v }; loss sum(z);";
    let twice = format!("model M[time, batch, n] {{ {twice} }}");
    check(&twice, &["two stacks of this model are called `l`; its layers' sizes are given by that name"]);
    check(
        "model M[batch, n] { param x: [batch, n]; let y = stack l[i -> i] over x to n { x }; loss sum(y); }",
        &["`i` is declared twice", "`i` is first declared here"],
    );
    check(
        "cell C[batch, n] { input x: [batch, n]; state h: [batch, n]; param w: [n, n]; next (x + h @ w) } \
         model M[time, batch, n] { input x: [time, batch, n]; \
         let s = scan C(x) drop w by 0.1 drop w by 0.2; loss sum(s.h); }",
        &["`w` is declared twice", "`w` is first declared here"],
    );
    check(
        "model M[n] { input ids: index [n]; param w: [n]; output y = ids; loss sum(w); }",
        &[
            "found index [n], which holds indices: they select and have no gradient, so they take no part in arithmetic; \
           use them in `embedding`, `pick` or `cross_entropy`",
        ],
    );
    check(
        "model M[batch, n] { param x: [batch, n]; let u = uniform(); \
         let y = stack l[i -> h] over x to n { param w: [i, h]; (x @ w) * u }; loss sum(y * u); }",
        &["one uniform() is drawn in a stack and used outside of it; write its shape where it is bound: \
           `uniform([batch, hidden])`"],
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
