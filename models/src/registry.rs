//! Every model that is shipped, by name.

use anyhow::{Result, anyhow};
use g2_engine::{Definition, Model as _};
use g2_graphs::language_model::{
    BaselineLm, G2Lm, NoisyLm, SharpenedLm, TiedBaselineLm, TiedG2Lm, TiedNoisyLm, TiedSharpenedLm,
};
use g2_graphs::layer::{
    G2LstmLayer, G2OutputLstmLayer, LstmLayer, NoisyLockedChoiceLstmLayer, NoisyLockedLstmLayer, NoisyLstmLayer,
    SharpenedLstmLayer,
};

/// Language models: what `g2lstm train` chooses from.
pub const LANGUAGE_MODELS: [&Definition; 8] = [
    BaselineLm::DEFINITION,
    SharpenedLm::DEFINITION,
    G2Lm::DEFINITION,
    NoisyLm::DEFINITION,
    TiedBaselineLm::DEFINITION,
    TiedSharpenedLm::DEFINITION,
    TiedG2Lm::DEFINITION,
    TiedNoisyLm::DEFINITION,
];

/// Single layers, one for each cell: what `g2lstm bench layer` chooses from.
pub const LAYERS: [&Definition; 7] = [
    LstmLayer::DEFINITION,
    SharpenedLstmLayer::DEFINITION,
    G2LstmLayer::DEFINITION,
    G2OutputLstmLayer::DEFINITION,
    NoisyLstmLayer::DEFINITION,
    NoisyLockedChoiceLstmLayer::DEFINITION,
    NoisyLockedLstmLayer::DEFINITION,
];

/// The names of all models.
pub fn models() -> impl Iterator<Item = &'static str> {
    LANGUAGE_MODELS.into_iter().chain(LAYERS).map(|definition| definition.name)
}

/// The names of all cells that there is a layer of.
pub fn cells() -> impl Iterator<Item = &'static str> {
    LAYERS.into_iter().map(cell_of)
}

/// A layer's name without its ending.
pub fn cell_of(layer: &Definition) -> &'static str {
    layer.name.strip_suffix("Layer").unwrap_or(layer.name)
}

/// The model of that name, as it stands in the code or with underscores (`g2_lm`).
///
/// # Errors
/// If there is none; suggests the nearest name.
pub fn model(name: &str) -> Result<&'static Definition> {
    let found = LANGUAGE_MODELS.into_iter().chain(LAYERS).find(|d| is_called(d.name, name));
    found.ok_or_else(|| unknown("model", name, models()))
}

/// The layer of the cell of that name, as it stands in the code or with underscores (`g2_lstm`).
///
/// # Errors
/// If there is none; suggests the nearest name.
pub fn layer(cell: &str) -> Result<&'static Definition> {
    let found = LAYERS.into_iter().find(|layer| is_called(cell_of(layer), cell));
    found.ok_or_else(|| unknown("cell", cell, cells()))
}

fn is_called(name: &str, wanted: &str) -> bool {
    name.eq_ignore_ascii_case(&wanted.replace(['_', '-'], ""))
}

fn unknown(what: &str, name: &str, known: impl Iterator<Item = &'static str>) -> anyhow::Error {
    let known: Vec<&str> = known.collect();
    let all = known.join(", ");
    match nearest(name, &known) {
        Some(near) => anyhow!("there is no {what} `{name}`; did you mean `{near}`? All of them: {all}"),
        None => anyhow!("there is no {what} `{name}`; choose one of {all}"),
    }
}

/// The name most like `name`, unless none is like it.
fn nearest<'a>(name: &str, known: &[&'a str]) -> Option<&'a str> {
    let name = name.to_lowercase();
    let likeness = known.iter().map(|&known| (strsim::jaro_winkler(&name, &known.to_lowercase()), known));
    likeness.filter(|(likeness, _)| *likeness > 0.7).max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_unique() {
        let mut names: Vec<&str> = models().collect();
        for name in &names {
            assert_eq!(model(&name.to_lowercase()).unwrap().name, *name);
        }
        for cell in cells() {
            assert_eq!(layer(cell).unwrap().name, format!("{cell}Layer"));
        }
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }

    #[test]
    fn the_nearest_name_is_suggested() {
        let message = |result: Result<&Definition>| result.unwrap_err().to_string();
        assert!(message(model("G2L")).contains("did you mean `G2Lm`?"));
        assert_eq!(model("baseline-lm").unwrap().name, "BaselineLm");
        assert!(message(layer("noisy")).contains("did you mean `NoisyLstm`?"));
        assert_eq!(layer("g2_lstm").unwrap().name, "G2LstmLayer");
        assert!(message(layer("g2_lst")).contains("did you mean `G2Lstm`?"));
        assert!(message(layer("???")).contains("there is no cell `???`; choose one of Lstm, "));
    }
}
