//! One HTML page that needs nothing else: what a training has shown.

use crate::figures::Figures;
use crate::gates::{BINS, CLOSED, GateShares, OPEN};
use crate::plots::{self, COLOURS, Line, css};
use crate::proposition::{EPSILONS, Proposition};
use crate::report::thousands;
use anyhow::Result;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// What is on it.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Its title.
    pub title: &'a str,
    /// What was done, in a sentence or two.
    pub introduction: &'a str,
    /// The models, each in a colour of its own.
    pub models: &'a [Figures],
    /// The bounds on sampled gates.
    pub proposition: Option<&'a Proposition>,
    /// The configuration, as TOML.
    pub configuration: &'a str,
    /// What can be run next: a purpose and a command.
    pub commands: &'a [(&'a str, String)],
}

const STYLE: &str = "
:root { color-scheme: light; }
body { margin: 0; background: #f3f4f7; color: #1c212b; font: 16px/1.55 system-ui, -apple-system, 'Segoe UI', Roboto,
  'Helvetica Neue', 'Liberation Sans', 'DejaVu Sans', sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 40px 20px 60px; }
h1 { font-size: 32px; line-height: 1.2; margin: 0 0 8px; letter-spacing: -0.01em; }
h2 { font-size: 20px; margin: 0 0 4px; }
.lead { font-size: 18px; color: #4b5260; margin: 0 0 28px; }
section { background: #fff; border: 1px solid #e3e6ec; border-radius: 10px; padding: 24px 28px; margin: 0 0 20px; }
section > p { margin: 0 0 14px; color: #4b5260; }
svg { display: block; max-width: 100%; height: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: right; font-weight: 600; font-size: 14px; color: #4b5260; padding: 6px 10px; }
td { text-align: right; padding: 9px 10px; border-top: 1px solid #e3e6ec; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
th[colspan] { text-align: center; padding-bottom: 0; } td + td, th + th { width: 11%; }
.swatch { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin: 0 8px 0 0; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 26px; font-size: 14px; color: #4b5260; margin: 0 0 6px; }
.legend .dot { border-radius: 50%; }
.grid { display: grid; grid-template-columns: 1fr 1fr 1fr 1fr; gap: 6px 14px; align-items: end; }
.grid h3 { font-size: 14px; font-weight: 600; text-align: center; margin: 6px 0 0; }
.grid .row { grid-column: 1 / -1; font-weight: 600; margin-top: 12px; border-top: 1px solid #e3e6ec; padding-top: 12px; }
.grid .row:first-child { border: 0; margin: 0; padding: 0; }
figure { margin: 0; }
figcaption { font-size: 13px; color: #4b5260; text-align: center; font-variant-numeric: tabular-nums; }
.two { display: grid; grid-template-columns: 1fr 1fr; gap: 24px; }
.two h3 { font-size: 15px; margin: 8px 0 0 40px; }
.heat svg { margin-top: 12px; }
.scale { display: flex; align-items: center; gap: 10px; font-size: 13px; color: #4b5260; }
.scale i { display: block; width: 220px; height: 12px; border-radius: 3px; }
.verdict { font-weight: 600; color: #1c212b; }
pre { background: #f6f7f9; border: 1px solid #e3e6ec; border-radius: 8px; padding: 12px 16px; margin: 4px 0 14px;
  overflow-x: auto; font: 13.5px/1.5 ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace; }
dt { font-weight: 600; } dd { margin: 0; }
footer { color: #6b7280; font-size: 14px; text-align: center; }
@media (max-width: 760px) { .grid { grid-template-columns: 1fr 1fr; } .two { grid-template-columns: 1fr; } }
";

impl Page<'_> {
    /// The page's text.
    ///
    /// # Errors
    /// If a plot cannot be drawn: none is known.
    pub fn html(&self) -> Result<String> {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    title { (self.title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    main {
                        h1 { (self.title) }
                        p.lead { (self.introduction) }
                        section { (self.summary()) }
                        @if self.models.iter().any(|model| !model.curve.train.is_empty()) {
                            section { (self.curves()?) }
                        }
                        section { (self.histograms()?) }
                        section { (self.heat()?) }
                        @if let Some(proposition) = self.proposition { section { (bounds(proposition)?) } }
                        section {
                            h2 { "To go on" }
                            dl { @for (purpose, command) in self.commands {
                                dt { (purpose) }
                                dd { pre { (command) } }
                            } }
                            h2 { "Configuration" }
                            pre { (self.configuration.trim()) }
                        }
                        footer { "Written by g2lstm " (env!("CARGO_PKG_VERSION")) "." }
                    }
                }
            }
        };
        Ok(page.into_string())
    }

    fn summary(&self) -> Markup {
        html! {
            h2 { "In numbers" }
            p {
                "Perplexities, and the share of gate values that are nearly closed (below " (CLOSED) ") or nearly open \
                 (above " (OPEN) ") over the validation text, without noise."
            }
            table {
                thead {
                    tr {
                        th {}
                        th colspan="2" { "perplexity" }
                        th colspan="2" { "input gates" }
                        th colspan="2" { "forget gates" }
                    }
                    tr {
                        th {} th { "validation" } th { "test" }
                        @for _ in 0..2 { th { "< " (CLOSED) } th { "> " (OPEN) } }
                    }
                }
                tbody {
                    @for (k, model) in self.models.iter().enumerate() {
                        @for (layer, GateShares { input, forget }) in model.evaluation.iter().enumerate() {
                            tr {
                                td { (swatch(k)) (label(model, layer)) }
                                @if layer == 0 {
                                    td { (format!("{:.3}", model.valid_perplexity)) }
                                    td { (format!("{:.3}", model.test_perplexity)) }
                                } @else { td {} td {} }
                                @for share in [input.closed(), input.open(), forget.closed(), forget.open()] {
                                    td { (percent(share)) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }

    fn curves(&self) -> Result<Markup> {
        let colour = |k: usize| COLOURS[k % COLOURS.len()];
        let lines: Vec<Line> = self
            .models
            .iter()
            .enumerate()
            .flat_map(|(k, model)| {
                [(false, &model.curve.train), (true, &model.curve.valid)].map(|(marked, points)| Line {
                    colour: colour(k),
                    marked,
                    points: points.clone(),
                })
            })
            .collect();
        Ok(html! {
            h2 { "Loss" }
            p { "Lines: the training text, with noise, each point a mean over a tenth of an epoch. Dots: the validation \
                 text after each epoch, without noise." }
            (self.legend())
            (PreEscaped(plots::lines(&lines, "epochs", "nats a token")?))
        })
    }

    fn legend(&self) -> Markup {
        html! { div.legend { @for (k, model) in self.models.iter().enumerate() {
            span { (swatch(k)) (model.name) }
        } } }
    }

    fn histograms(&self) -> Result<Markup> {
        let shares = || self.models.iter().flat_map(|m| m.training.iter().chain(&m.evaluation));
        let tallest = shares()
            .flat_map(|s| s.input.histogram().into_iter().chain(s.forget.histogram()))
            .filter(|share| share.is_finite())
            .fold(0.01, f64::max);
        let top = (tallest * 10.0).ceil() / 10.0;
        let panel = |shares: &[f64; BINS], closed: f64, open: f64, k: usize| -> Result<Markup> {
            Ok(html! { figure {
                (PreEscaped(plots::histogram(shares, top, COLOURS[k % COLOURS.len()])?))
                figcaption { "< " (CLOSED) ": " (percent(closed)) " · > " (OPEN) ": " (percent(open)) }
            } })
        };
        Ok(html! {
            h2 { "Where the gates are" }
            p {
                "Histograms of all gate values over the validation text, as in the paper's Figures 1 and 3. \
                 “In training”: with the noise of a training step. “In evaluation”: without."
            }
            div.grid {
                @for (k, model) in self.models.iter().enumerate() {
                    @for (layer, (training, evaluation)) in model.training.iter().zip(&model.evaluation).enumerate() {
                        div.row { (swatch(k)) (label(model, layer)) }
                        @for title in ["Input, in training", "Forget, in training", "Input, in evaluation",
                            "Forget, in evaluation"] { h3 { (title) } }
                        @for gates in [&training.input, &training.forget, &evaluation.input, &evaluation.forget] {
                            (panel(&gates.histogram(), gates.closed(), gates.open(), k)?)
                        }
                    }
                }
            }
        })
    }

    fn heat(&self) -> Result<Markup> {
        let mut rows: Vec<(String, Vec<f64>)> = Vec::new();
        for model in self.models {
            for (layer, means) in model.means.iter().enumerate() {
                let short =
                    if model.name.contains("Plain") { "plain" } else { model.name.split(' ').next().unwrap_or("") };
                let short =
                    if model.means.len() > 1 { format!("{short}, layer {}", layer + 1) } else { short.to_owned() };
                for (gate, values) in [("input", &means.input), ("forget", &means.forget)] {
                    rows.push((format!("{short}: {gate}"), values.iter().map(|&v| f64::from(v)).collect()));
                }
            }
        }
        let values = || rows.iter().flat_map(|(_, values)| values).copied();
        let (low, high) = values().fold((1.0, 0.0), |(low, high), v| (f64::min(low, v), f64::max(high, v)));
        let (low, high) = ((low * 20.0).floor() / 20.0, (high * 20.0).ceil() / 20.0);
        let scaled = |v: f64| (v - low) / (high - low).max(1e-9);
        let tokens = self.models.first().map_or(&[][..], |model| &model.tokens);
        let mut pictures = Vec::new();
        for range in lines_of(tokens) {
            let columns: Vec<String> = tokens[range.clone()].iter().map(|token| visible(token)).collect();
            let part: Vec<(&str, Vec<f64>)> = rows
                .iter()
                .map(|(label, values)| (&**label, values[range.clone()].iter().map(|&v| scaled(v)).collect()))
                .collect();
            let part: Vec<(&str, &[f64])> = part.iter().map(|(label, values)| (*label, &values[..])).collect();
            pictures.push(plots::heat(&columns, &part, 1060)?);
        }
        let stops = (0..=10).map(|k| css(plots::heat_colour(f64::from(k) / 10.0))).collect::<Vec<_>>().join(", ");
        Ok(html! {
            h2 { "Gates along a text" }
            p {
                "The mean of a layer's gates after each token at the beginning of the validation text, without noise, as \
                 in the paper's Figure 4."
            }
            div.scale {
                span { (format!("{low:.2}")) }
                i style=(format!("background: linear-gradient(to right, {stops})")) {}
                span { (format!("{high:.2}")) }
            }
            div.heat { @for picture in &pictures { (PreEscaped(picture)) } }
        })
    }
}

fn bounds(proposition: &Proposition) -> Result<Markup> {
    let Proposition { tau, points } = proposition;
    let k = 0;
    let low = points.iter().map(|p| (p.a, p.low(k, *tau))).map(|(a, b)| (a, b.lower, b.frequency, b.upper));
    let high = points.iter().map(|p| (p.a, p.high(k, *tau))).map(|(a, b)| (a, b.lower, b.frequency, b.upper));
    let epsilons = EPSILONS.map(|epsilon| epsilon.to_string()).join(", ");
    Ok(html! {
        h2 { "Proposition 3.1, on the kernel that trained" }
        p {
            "A sampled gate G is nearly as often nearly open as a coin that shows heads with the probability sigmoid(a): \
             P(G ≥ 1 − ε) lies between sigmoid(a) − (τ/4) ln(1/ε) and sigmoid(a), P(G ≤ ε) likewise with \
             1 − sigmoid(a). "
            (thousands(proposition.gates() as usize)) " input and forget gates were sampled by the training kernel \
             at pre-activations from −5 to 5, with τ = " (tau) " and ε = " (epsilons) "."
        }
        p.verdict { (verdict(proposition)) }
        div.two {
            div {
                h3 { "P(G ≤ " (EPSILONS[k]) ")" }
                (PreEscaped(plots::band(&low.collect::<Vec<_>>(), COLOURS[0])?))
            }
            div {
                h3 { "P(G ≥ " (1.0 - EPSILONS[k]) ")" }
                (PreEscaped(plots::band(&high.collect::<Vec<_>>(), COLOURS[1])?))
            }
        }
        p { "Dots: counted. Bands: between the bounds." }
    })
}

/// What counting has shown, in a line.
pub fn verdict(proposition: &Proposition) -> String {
    let all = proposition.bounds().count();
    let deviation = proposition.deviation();
    match proposition.violations() {
        0 => format!(
            "All {all} frequencies are within their bounds, and at most {deviation:.1} standard errors from their \
             probabilities."
        ),
        outside => format!(
            "{outside} of {all} frequencies are outside of their bounds, by up to {deviation:.1} standard errors from \
             their probabilities: a defect, please report it."
        ),
    }
}

fn swatch(k: usize) -> Markup {
    html! { span.swatch style=(format!("background: {}", css(COLOURS[k % COLOURS.len()]))) {} }
}

fn label(model: &Figures, layer: usize) -> String {
    match model.evaluation.len() {
        1 => model.name.clone(),
        _ => format!("{}, layer {}", model.name, layer + 1),
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// Characters that leave no trace, made visible.
fn visible(token: &str) -> String {
    match token {
        "\n" => "↵".to_owned(),
        "\t" => "→".to_owned(),
        token => token.to_owned(),
    }
}

/// A text in pieces that fit into a picture: lines, cut where they are too long.
fn lines_of(tokens: &[String]) -> Vec<std::ops::Range<usize>> {
    let widest = if tokens.iter().any(|token| token.chars().count() > 1) { 40 } else { 60 };
    let mut lines = Vec::new();
    let mut start = 0;
    for (k, token) in tokens.iter().enumerate() {
        let full = k + 1 - start == widest;
        if full || (token == "\n" && k > start) || k + 1 == tokens.len() {
            lines.push(start..k + 1);
            start = k + 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_at_line_ends_or_where_they_are_too_long() {
        let text = format!("ab\n{}\ncd", "x".repeat(70));
        let tokens: Vec<String> = text.chars().map(String::from).collect();
        assert_eq!(lines_of(&tokens), [0..3, 3..63, 63..74, 74..76]);
        assert_eq!(lines_of(&[]), []);
    }
}
