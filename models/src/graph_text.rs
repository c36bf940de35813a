//! A shipped model's graph as text or for Graphviz, and its plan for given sizes.

use crate::registry;
use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use g2_engine::ir::print::dot;
use g2_engine::{Bindings, Compiled, Definition, Fusion, Plan};

/// Which of a definition's graphs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Mode {
    /// Noise and dropout on, with loss and gradients.
    #[default]
    Training,
    /// Noise and dropout on, forward only.
    Sampling,
    /// Noise and dropout off, forward only.
    Evaluation,
}

/// How a graph is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum Format {
    /// One line an operation.
    #[default]
    Text,
    /// Graphviz.
    Dot,
}

/// `g2lstm graph`
#[derive(Args, Debug)]
pub struct Arguments {
    /// A model, for example G2Lm or G2LstmLayer; without one, the names of all are printed.
    name: Option<String>,
    /// Which of its graphs.
    #[arg(long, value_enum, default_value_t)]
    mode: Mode,
    /// How it is written; try `g2lstm graph LstmLayer --mode evaluation --format dot | dot -Tsvg > lstm.svg`.
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Prints the plan as well: every buffer's place in memory and every instruction.
    #[arg(long)]
    plan: bool,
    /// Changes a size that the plan is made for, for example `--size batch=64 --size layers=650,650`; may be repeated.
    #[arg(long = "size", value_name = "KEY=NUMBER", requires = "plan")]
    sizes: Vec<String>,
}

impl Arguments {
    /// What is to be printed.
    ///
    /// # Errors
    /// If there is no such model or size.
    pub fn text(&self) -> Result<String> {
        let Some(name) = &self.name else {
            return Ok(registry::models().map(|name| format!("{name}\n")).collect());
        };
        let definition = registry::model(name)?;
        let mut text = graph(definition, self.mode, self.format)?;
        if self.plan {
            if self.format == Format::Dot {
                bail!("--plan: a plan is text; leave out --format dot");
            }
            text += "\n";
            text += &plan(definition, self.mode, &sizes(&self.sizes)?)?;
        }
        Ok(text)
    }
}

fn compiled(definition: &Definition, mode: Mode) -> Result<&'static Compiled> {
    let graph = match mode {
        Mode::Training => definition.training,
        Mode::Sampling => definition.sampling,
        Mode::Evaluation => definition.evaluation,
    };
    graph.with_context(|| format!("{} has no graph for {mode:?}", definition.name))
}

/// The graph, with its gradient and its fused regions.
///
/// # Errors
/// If the definition has no such graph.
pub fn graph(definition: &Definition, mode: Mode, format: Format) -> Result<String> {
    let program = compiled(definition, mode)?.decode()?;
    Ok(match format {
        Format::Text => program.to_string(),
        Format::Dot => dot(&program),
    })
}

/// The plan for the sizes that [`sizes`] gives: every buffer's place and every instruction.
///
/// # Errors
/// If the definition has no such graph, or the sizes do not fit each other.
pub fn plan(definition: &Definition, mode: Mode, sizes: &Bindings) -> Result<String> {
    let program = compiled(definition, mode)?.decode()?;
    Ok(Plan::new(&program, sizes, Fusion::Fused)?.to_string())
}

/// Numbers for every dimension of every shipped model: Zaremba's small language model and a layer as wide, changed by
/// `KEY=NUMBER` pairs (for `layers`: `KEY=NUMBER,NUMBER..`, the widths of all layers).
///
/// # Errors
/// If a pair is none, or names no dimension.
pub fn sizes(changes: &[String]) -> Result<Bindings> {
    let mut sizes = [
        ("time", vec![20]),
        ("batch", vec![20]),
        ("vocab", vec![10_000]),
        ("embedding", vec![200]),
        ("features", vec![200]),
        ("input", vec![200]),
        ("hidden", vec![200]),
        ("layers", vec![200, 200]),
    ];
    for change in changes {
        let (key, value) = change.split_once('=').with_context(|| format!("--size {change}: write it as batch=64"))?;
        let numbers: Option<Vec<usize>> =
            value.split(',').map(|n| n.trim().parse().ok().filter(|n| (1..=1 << 24).contains(n))).collect();
        let numbers = numbers.with_context(|| format!("--size {change}: {value:?} is no number from 1 to 2^24"))?;
        let known = sizes.each_ref().map(|(name, _)| *name).join(", ");
        let Some((name, slot)) = sizes.iter_mut().find(|(name, _)| *name == key.trim()) else {
            bail!("--size {change}: there is no size `{key}`; choose one of {known}");
        };
        if *name != "layers" && numbers.len() != 1 {
            bail!("--size {change}: `{name}` takes one number");
        }
        *slot = numbers;
    }
    Ok(sizes.into_iter().fold(Bindings::new(), |bindings, (name, numbers)| match (name, &numbers[..]) {
        ("layers", widths) => bindings.stack(name, widths),
        (_, numbers) => bindings.with(name, numbers[0]),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{self, LANGUAGE_MODELS, LAYERS};

    #[test]
    fn every_model_can_be_shown_in_every_mode_and_format() {
        let sizes = sizes(&[]).unwrap();
        for definition in LANGUAGE_MODELS.into_iter().chain(LAYERS) {
            for &mode in Mode::value_variants() {
                let text = graph(definition, mode, Format::Text).unwrap();
                assert!(text.starts_with(&format!("{} ({mode:?})\n", definition.name)), "{text}");
                assert_eq!(text.contains("gradient of"), mode == Mode::Training, "{text}");
                let dot = graph(definition, mode, Format::Dot).unwrap();
                assert!(dot.starts_with(&format!("digraph \"{} ({mode:?})\" {{", definition.name)), "{dot}");
                assert_eq!(dot.matches('{').count(), dot.matches('}').count());
                let plan = plan(definition, mode, &sizes).unwrap();
                assert!(plan.starts_with(&format!("plan {} ({mode:?}, Fused)\n", definition.name)), "{plan}");
            }
        }
    }

    #[test]
    fn sizes_can_be_changed_and_mistakes_are_named() {
        let change = |text: &str| sizes(&[text.to_owned()]);
        assert_eq!(change("batch=7").unwrap().sizes.get("batch"), Some(7));
        let definition = registry::model("G2Lm").unwrap();
        let wider = plan(definition, Mode::Training, &change("layers=30,40,200").unwrap()).unwrap();
        assert!(wider.contains("layers.2."), "{wider}");
        for (text, part) in [
            ("batch", "batch=64"),
            ("batches=3", "no size `batches`; choose one of time, batch,"),
            ("batch=x", "no number"),
            ("batch=0", "no number"),
            ("batch=3,4", "one number"),
        ] {
            let message = change(text).unwrap_err().to_string();
            assert!(message.contains(text) && message.contains(part), "{message}");
        }
    }
}
