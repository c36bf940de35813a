//! `g2lstm gates`: the figures of a trained model.

use crate::checkpoint::folder::METRICS;
use crate::corpus::{self, Corpus};
use crate::figures::{self, Curve, Figures};
use crate::gates::{CLOSED, OPEN, Shares};
use crate::page::Page;
use crate::trained::Trained;
use anyhow::{Context, Result};
use clap::Args;
use serde_json::json;
use std::fs;
use std::path::PathBuf;

/// `g2lstm gates`
#[derive(Args, Debug)]
pub struct Arguments {
    /// A folder of `train --out`, or one checkpoint in it.
    #[arg(long, value_name = "DIR")]
    checkpoint: PathBuf,
    /// Where the HTML page with all figures is written [default: g2lstm-gates.html, with --json nowhere].
    #[arg(long, value_name = "PAGE.html")]
    out: Option<PathBuf>,
    /// The folder of the text, if it is not where it was in training.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Prints JSON.
    #[arg(long)]
    json: bool,
}

impl Arguments {
    /// Writes the page; gives what is to be printed.
    ///
    /// # Errors
    /// Those of reading the checkpoint and the text, and of writing the page.
    pub fn run(&self, threads: usize) -> Result<String> {
        let Trained { config, vocabulary, model, parameters } = Trained::read(&self.checkpoint, threads)?;
        let dir = self.data.as_ref().unwrap_or(&config.data.dir);
        let level = config.data.level;
        let read = |part| corpus::read_ids(dir, part, level, &vocabulary);
        let (valid, test) = (read("valid")?, read("test")?);
        let corpus = Corpus { level, vocabulary, train: Vec::new(), valid, test };
        // In the run's folder, or beside the checkpoint.
        let metrics = [self.checkpoint.join(METRICS), self.checkpoint.with_file_name(METRICS)];
        let records = metrics.iter().find(|path| path.is_file()).map_or(Vec::new(), |path| figures::records(path));
        let mut figures = figures::figures(&model, &config, &parameters, &corpus)?;
        figures.curve = Curve::of(&records);

        let page = self.out.clone().or_else(|| (!self.json).then(|| "g2lstm-gates.html".into()));
        if let Some(page) = &page {
            let checkpoint = self.checkpoint.display();
            let html = Page {
                title: &format!("Gates of {checkpoint}"),
                introduction: &format!(
                    "{}, trained on {} of {}.",
                    figures.name,
                    level.noun(),
                    config.data.dir.display()
                ),
                models: std::slice::from_ref(&figures),
                proposition: None,
                configuration: &toml::to_string(&config)?,
                commands: &[
                    ("Let it write", format!("g2lstm generate --checkpoint {checkpoint}")),
                    ("Measure it", format!("g2lstm eval --checkpoint {checkpoint} --split test")),
                ],
            };
            fs::write(page, html.html()?).with_context(|| format!("--out: {} cannot be written", page.display()))?;
        }
        if self.json {
            return Ok(format!("{}\n", json(&figures)));
        }
        let mut text = format!(
            "valid perplexity {:.3}, test perplexity {:.3}\n\
             gates over the validation text         < {CLOSED}    > {OPEN}\n",
            figures.valid_perplexity, figures.test_perplexity
        );
        for (layer, (training, evaluation)) in figures.training.iter().zip(&figures.evaluation).enumerate() {
            for (mode, shares) in [("as in training", training), ("in evaluation", evaluation)] {
                for (gate, shares) in [("input", &shares.input), ("forget", &shares.forget)] {
                    let row = format!("layer {}, {gate}, {mode}", layer + 1);
                    text += &format!("{row:36} {:6.1} % {:6.1} %\n", 100.0 * shares.closed(), 100.0 * shares.open());
                }
            }
        }
        if let Some(page) = page {
            text += &format!("All figures: {}\n", page.display());
        }
        Ok(text)
    }
}

fn json(figures: &Figures) -> serde_json::Value {
    let shares =
        |s: &Shares| json!({ "below_0.1": s.closed(), "above_0.9": s.open(), "histogram": s.histogram().to_vec() });
    let layers: Vec<serde_json::Value> = figures
        .training
        .iter()
        .zip(&figures.evaluation)
        .map(|(training, evaluation)| {
            json!({
                "training": { "input": shares(&training.input), "forget": shares(&training.forget) },
                "evaluation": { "input": shares(&evaluation.input), "forget": shares(&evaluation.forget) },
            })
        })
        .collect();
    json!({
        "valid_perplexity": figures.valid_perplexity,
        "test_perplexity": figures.test_perplexity,
        "layers": layers,
    })
}
