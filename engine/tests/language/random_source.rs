//! The source of `random_models.rs`: random models in the language, from a fixed seed.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use std::fmt::Write;

/// How many models there are.
pub(crate) const COUNT: usize = 24;

/// One random step: which operation, on which of the values so far.
type Choice = (u8, u16, u16);

/// Writes random `let`s; every value has the shape of the first ones.
struct Lets<'a> {
    out: String,
    indent: &'a str,
    shape: &'a str,
    axes: usize,
    values: Vec<String>,
}

impl Lets<'_> {
    fn pick(&self, k: u16) -> &str {
        &self.values[k as usize % self.values.len()]
    }

    fn grow(&mut self, &(op, x, y): &Choice) {
        let (a, b) = (self.pick(x), self.pick(y));
        let (shape, odd) = (self.shape, y % 2 == 1);
        let value = match op % 22 {
            0 => format!("{a} + {b}"),
            1 => format!("{a} * {b}"),
            2 => format!("{a} - {b}"),
            3 => format!("sigmoid({a})"),
            4 => format!("tanh({a})"),
            5 => format!("ln(sqrt(sigmoid({a})))"),
            6 => format!("logit(sigmoid({a}))"),
            7 => format!("{a} / exp(tanh({b}))"),
            8 => format!("{a} * {}uniform()", if odd { "locked_" } else { "" }),
            9 => format!("concat(slice({a}, half, half), slice({b}, 0, half))"),
            10 => format!("reverse({a}, axis = {})", x as usize % self.axes),
            11 => format!("tanh({a} @ matrix{})", if odd { ".t" } else { "" }),
            12 => format!("{a} + vector"),
            13 => format!("{}softmax({a})", if odd { "log_" } else { "" }),
            14 => format!("tanh(broadcast(sum({a}, axis = -1), {shape}))"),
            15 => format!("max({a}, {b})"),
            16 => format!("relu({a})"),
            17 => format!("select({a} > {b}, {a}, tau * {b})"),
            18 => format!("{}dropout({a}, 0.3)", if odd { "locked_" } else { "" }),
            19 => format!("sigmoid(({a} + logit(uniform())) / tau)"),
            20 => format!("mean({a}) - {b}"),
            _ => format!("-square({a})"),
        };
        let name = format!("v{}", self.values.len());
        writeln!(self.out, "{}let {name} = {value};", self.indent).expect("writing to a string");
        self.values.push(name);
    }
}

fn lets(choices: &[Choice], indent: &str, shape: &str, axes: usize, first: &[&str]) -> (String, String) {
    let values = first.iter().map(|&s| s.to_owned()).collect();
    let mut lets = Lets { out: String::new(), indent, shape, axes, values };
    choices.iter().for_each(|choice| lets.grow(choice));
    (lets.out, lets.values.last().expect("at least one value").clone())
}

fn choices(most: usize) -> impl Strategy<Value = Vec<Choice>> {
    proptest::collection::vec(any::<Choice>(), 2..most)
}

/// The file's text.
pub(crate) fn source() -> String {
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut out = String::from(
        "//! Random models, written by `random_source.rs`: run the tests with `G2_BLESS=1` to write them again.\n\n\
         use g2_engine::graph;\n\ngraph! {\n",
    );
    for k in 0..COUNT {
        let strategy = (choices(7), choices(14), choices(7), any::<bool>(), any::<bool>());
        let (before, inside, behind, reversed, masked) =
            strategy.new_tree(&mut runner).expect("the strategy gives values").current();
        let (inside, next) = lets(&inside, "        ", "[batch, 2 * half]", 2, &["x", "h"]);
        let (before, x) = lets(&before, "        ", "[time, batch, 2 * half]", 3, &["x"]);
        let (behind, y) = lets(&behind, "        ", "[time, batch, 2 * half]", 3, &["s.h", "s.y"]);
        let reversed = if reversed { " reversed" } else { "" };
        let masked = if masked { " masked lengths" } else { "" };
        write!(
            out,
            "    /// Random cell {k}.
    pub cell Cell{k}[batch, half] {{
        input x: [batch, 2 * half];
        state h: [batch, 2 * half];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
{inside}        output y = {next};
        next (tanh({next} + x + h @ matrix + vector * tau))
    }}

    /// Random model {k}.
    pub model Random{k}[time, batch, half] {{
        input x: [time, batch, 2 * half], lengths: index [batch];
        param matrix: [2 * half, 2 * half], vector: [2 * half];
        hyper tau;
{before}        let s = scan Cell{k}({x}){reversed}{masked} as inner;
{behind}        let weight = broadcast(length_mask(lengths, time), [time, batch, 2 * half]);
        output y = {y};
        loss mean(tanh({y}) * weight) + sum(tanh({x})) + sum(tanh(last(s.h))) + sum(square(matrix)) * tau + sum(vector);
    }}

"
        )
        .expect("writing to a string");
    }
    out + "}\n"
}
