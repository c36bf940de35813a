//! Diagnostics: they accumulate, underline whole expressions and all show in one build.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};

/// The source from a first to a last token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Range {
    pub(crate) start: Span,
    pub(crate) end: Span,
}

impl Range {
    pub(crate) fn to(self, end: Range) -> Range {
        Range { start: self.start, end: end.end }
    }
}

impl From<Span> for Range {
    fn from(span: Span) -> Range {
        Range { start: span, end: span }
    }
}

impl From<&Ident> for Range {
    fn from(ident: &Ident) -> Range {
        ident.span().into()
    }
}

/// An error was found and is already among the diagnostics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reported;

/// All that is wrong with one invocation.
#[derive(Default, Debug)]
pub(crate) struct Diagnostics {
    found: Vec<(Range, String)>,
    reports: usize,
}

impl Diagnostics {
    /// Records an error, unless the very same one is recorded already (the modes share most of their source).
    pub(crate) fn report(&mut self, range: impl Into<Range>, message: impl Into<String>) -> Reported {
        let (range, message) = (range.into(), message.into());
        self.reports += 1;
        let key = |r: &Range| format!("{:?} {:?}", r.start, r.end);
        if !self.found.iter().any(|(r, m)| *m == message && key(r) == key(&range)) {
            self.found.push((range, message));
        }
        Reported
    }

    /// Records an error of syn's own, at `end` if it is that the tokens ended.
    pub(crate) fn report_syn(&mut self, error: syn::Error, end: Span) {
        let nowhere = format!("{:?}", Span::call_site());
        for one in error {
            let span = if format!("{:?}", one.span()) == nowhere { end } else { one.span() };
            self.report(span, one.to_string());
        }
    }

    /// How many reports there were, repeated ones included: whether something between two counts went wrong.
    pub(crate) fn count(&self) -> usize {
        self.reports
    }

    /// One `compile_error!` for each.
    pub(crate) fn expand(&self) -> TokenStream {
        let mut all = TokenStream::new();
        for (range, message) in &self.found {
            let ends = [Ident::new("x", range.start), Ident::new("x", range.end)];
            let ends: TokenStream = ends.into_iter().map(TokenTree::Ident).collect();
            all.extend(syn::Error::new_spanned(ends, message).into_compile_error());
        }
        all
    }

    #[cfg(test)]
    pub(crate) fn messages(&self) -> Vec<String> {
        self.found.iter().map(|(_, message)| message.clone()).collect()
    }
}

/// `` ; did you mean `name`? `` with the candidate nearest to `name`, or nothing if none is near.
pub(crate) fn suggestion<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    let near = candidates.into_iter().map(|c| (distance(name, c), c)).min();
    match near {
        Some((d, candidate)) if d <= (name.len() / 3).max(1) && d < name.len().max(candidate.len()) => {
            format!("; did you mean `{candidate}`?")
        }
        _ => String::new(),
    }
}

/// Edits (insertions, deletions, replacements, swaps of neighbours) from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut d = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            if i == 0 || j == 0 {
                d[i][j] = i + j;
                continue;
            }
            let replaced = d[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            d[i][j] = replaced.min(d[i - 1][j] + 1).min(d[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                d[i][j] = d[i][j].min(d[i - 2][j - 2] + 1);
            }
        }
    }
    d[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name_is_suggested_only_when_near() {
        assert_eq!(suggestion("sigmiod", ["tanh", "sigmoid"]), "; did you mean `sigmoid`?");
        assert_eq!(suggestion("zzz", ["tanh", "sigmoid"]), "");
        assert_eq!(distance("abcd", "abdc"), 1);
    }
}
