//! Expressions, by operator precedence: `< >`, then `+ -`, then `* / @`, then unary `-`, then `.name`.

use super::{parse_decls, parse_list, parse_statement};
use crate::ast::*;
use crate::error::Range;
use proc_macro2::{Ident, Span};
use std::cell::Cell;
use syn::parse::{ParseStream, Result};
use syn::{Token, braced, bracketed, parenthesized, token};

/// Most expressions inside of each other, and most operators in a row: the stages after this one are recursive.
const MOST_DEEP: usize = 256;

thread_local! {
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Runs a parser one level deeper.
fn deeper<T>(input: ParseStream, parse: impl FnOnce(ParseStream) -> Result<T>) -> Result<T> {
    let depth = DEPTH.with(|depth| depth.replace(depth.get() + 1));
    let result = if depth < MOST_DEEP { parse(input) } else { Err(too_deep(input)) };
    DEPTH.with(|depth| depth.set(depth.get() - 1));
    result
}

fn too_deep(input: ParseStream) -> syn::Error {
    input.error(format!("more than {MOST_DEEP} operations in one expression; give parts of it names with `let`"))
}

/// One expression.
pub(super) fn parse_expr(input: ParseStream) -> Result<Expr> {
    deeper(input, |input| parse_binary(input, 0))
}

fn operator(input: ParseStream) -> Option<(Operator, u8)> {
    let found = [
        (input.peek(Token![<]), Operator::Less, 1),
        (input.peek(Token![>]), Operator::Greater, 1),
        (input.peek(Token![+]), Operator::Add, 2),
        (input.peek(Token![-]), Operator::Sub, 2),
        (input.peek(Token![*]), Operator::Mul, 3),
        (input.peek(Token![/]), Operator::Div, 3),
        (input.peek(Token![@]), Operator::MatMul, 3),
    ];
    found.into_iter().find(|(peeked, ..)| *peeked).map(|(_, operator, binding)| (operator, binding))
}

fn parse_binary(input: ParseStream, least: u8) -> Result<Expr> {
    let mut left = parse_unary(input)?;
    let mut operators = 0;
    while let Some((operator, binding)) = operator(input).filter(|(_, binding)| *binding > least) {
        operators += 1;
        if operators > MOST_DEEP {
            return Err(too_deep(input));
        }
        skip_operator(input)?;
        let right = parse_binary(input, binding)?;
        let range = left.range.to(right.range);
        left = Expr { kind: ExprKind::Binary(operator, Box::new(left), Box::new(right)), range };
    }
    Ok(left)
}

fn skip_operator(input: ParseStream) -> Result<()> {
    input.step(|cursor| match cursor.punct() {
        Some((_, rest)) => Ok(((), rest)),
        None => Err(cursor.error("expected an operator")),
    })
}

fn parse_unary(input: ParseStream) -> Result<Expr> {
    if let Some(minus) = input.parse::<Option<Token![-]>>()? {
        let operand = deeper(input, parse_unary)?;
        let range = Range::from(minus.span).to(operand.range);
        return Ok(Expr { kind: ExprKind::Negate(Box::new(operand)), range });
    }
    parse_postfix(input)
}

fn parse_postfix(input: ParseStream) -> Result<Expr> {
    let mut expr = parse_primary(input)?;
    while input.parse::<Option<Token![.]>>()?.is_some() {
        let name: Ident = input.parse()?;
        let range = expr.range.to(Range::from(&name));
        expr = Expr { kind: ExprKind::Field(Box::new(expr), name), range };
    }
    Ok(expr)
}

fn parse_primary(input: ParseStream) -> Result<Expr> {
    let inner;
    if input.peek(token::Paren) {
        let parens = parenthesized!(inner in input);
        let range = Range { start: parens.span.open(), end: parens.span.close() };
        let mut values = parse_list(&inner)?;
        let kind = if values.len() == 1 { values.remove(0).kind } else { ExprKind::List(values) };
        return Ok(Expr { kind, range });
    }
    if input.peek(token::Bracket) {
        let brackets = bracketed!(inner in input);
        let range = Range { start: brackets.span.open(), end: brackets.span.close() };
        return Ok(Expr { kind: ExprKind::List(parse_list(&inner)?), range });
    }
    if input.peek(token::Brace) {
        return parse_block(input);
    }
    if input.peek(syn::LitInt) || input.peek(syn::LitFloat) {
        let literal: syn::Lit = input.parse()?;
        let value = match &literal {
            syn::Lit::Int(int) => int.base10_parse::<f64>()?,
            syn::Lit::Float(float) => float.base10_parse::<f64>()?,
            other => return Err(syn::Error::new_spanned(other, "expected a number")),
        };
        return Ok(Expr { kind: ExprKind::Number(value), range: literal.span().into() });
    }
    if let Some(token) = input.parse::<Option<Token![if]>>()? {
        return parse_if(input, token.span);
    }
    if !input.peek(syn::Ident) {
        return Err(syn::Error::new(input.span(), "expected an expression"));
    }
    let name: Ident = input.parse()?;
    if name == "scan" && input.peek(syn::Ident) {
        return parse_scan(input, &name);
    }
    if name == "stack" && input.peek(syn::Ident) {
        return parse_stack(input, &name);
    }
    if input.peek(token::Paren) {
        let parens = parenthesized!(inner in input);
        let range = Range::from(&name).to(parens.span.close().into());
        let arguments = parse_arguments(&inner)?;
        return Ok(Expr { kind: ExprKind::Call(Call { name, arguments, range }), range });
    }
    Ok(Expr { range: Range::from(&name), kind: ExprKind::Name(name) })
}

fn parse_arguments(input: ParseStream) -> Result<Vec<Argument>> {
    let mut arguments = Vec::new();
    while !input.is_empty() {
        let mut name = None;
        if input.peek(syn::Ident) && input.peek2(Token![=]) {
            name = Some(input.parse()?);
            input.parse::<Token![=]>()?;
        }
        arguments.push(Argument { name, value: parse_expr(input)? });
        if !input.is_empty() {
            input.parse::<Token![,]>()?;
        }
    }
    Ok(arguments)
}

fn parse_if(input: ParseStream, start: Span) -> Result<Expr> {
    let condition: Ident = input.parse().map_err(|e| only_training(e.span()))?;
    if condition != "training" {
        return Err(only_training(condition.span()));
    }
    let yes = parse_block(input)?;
    input.parse::<Token![else]>()?;
    let no = parse_block(input)?;
    let range = Range::from(start).to(no.range);
    Ok(Expr { kind: ExprKind::IfTraining(Box::new(yes), Box::new(no)), range })
}

fn only_training(span: Span) -> syn::Error {
    syn::Error::new(
        span,
        "the only condition is `training`, decided when the graph is built; choose element by element with \
         `select(a < b, x, y)`",
    )
}

/// `{ let ..; result }`
pub(super) fn parse_block(input: ParseStream) -> Result<Expr> {
    let inner;
    let braces = braced!(inner in input);
    let mut statements = Vec::new();
    while inner.peek(Token![let]) {
        parse_statement(&inner, &mut statements)?;
    }
    if inner.is_empty() {
        return Err(syn::Error::new(braces.span.close(), "a block ends with the expression that is its value"));
    }
    let result = parse_expr(&inner)?;
    if !inner.is_empty() {
        return Err(inner.error("a block ends with the expression that is its value"));
    }
    let range = Range { start: braces.span.open(), end: braces.span.close() };
    Ok(Expr { kind: ExprKind::Block(statements, Box::new(result)), range })
}

const OPTIONS: [&str; 6] = ["from", "carried", "reversed", "masked", "as", "drop"];

fn parse_scan(input: ParseStream, keyword: &Ident) -> Result<Expr> {
    let cell: Ident = input.parse()?;
    let mut dims = Vec::new();
    if input.peek(token::Bracket) {
        let inner;
        bracketed!(inner in input);
        for argument in parse_arguments(&inner)? {
            let name =
                argument.name.ok_or_else(|| inner.error("a dimension is given by name: `[hidden = features]`"))?;
            dims.push((name, argument.value));
        }
    }
    let inner;
    let parens = parenthesized!(inner in input);
    let arguments = parse_arguments(&inner)?;
    let range = Range::from(keyword).to(parens.span.close().into());
    let mut scan = Scan {
        cell,
        dims,
        arguments,
        from: None,
        carried: None,
        reversed: false,
        masked: None,
        prefix: None,
        drops: Vec::new(),
        range,
    };
    while let Some(option) = parse_option(input)? {
        let mut end = Range::from(&option);
        match option.to_string().as_str() {
            "from" => {
                let inner;
                let parens = parenthesized!(inner in input);
                end = parens.span.close().into();
                scan.from = Some((parse_list(&inner)?, Range::from(&option).to(end)));
            }
            "carried" => scan.carried = Some(end),
            "reversed" => scan.reversed = true,
            "masked" => {
                let lengths = parse_postfix(input)?;
                end = lengths.range;
                scan.masked = Some(lengths);
            }
            "drop" => {
                let param = input.parse()?;
                parse_word(input, "by")?;
                let p = parse_postfix(input)?;
                end = p.range;
                scan.drops.push((param, p));
            }
            _ => {
                let prefix: Ident = input.parse()?;
                end = Range::from(&prefix);
                scan.prefix = Some(prefix);
            }
        }
        scan.range = scan.range.to(end);
    }
    let range = scan.range;
    Ok(Expr { kind: ExprKind::Scan(Box::new(scan)), range })
}

/// The next option of a scan, with the comma that may stand before it.
fn parse_option(input: ParseStream) -> Result<Option<Ident>> {
    use syn::ext::IdentExt;
    let ahead = input.fork();
    ahead.parse::<Option<Token![,]>>()?;
    if !ahead.peek(Ident::peek_any) || !OPTIONS.contains(&ahead.call(Ident::parse_any)?.to_string().as_str()) {
        return Ok(None);
    }
    input.parse::<Option<Token![,]>>()?;
    input.call(Ident::parse_any).map(Some)
}

fn parse_stack(input: ParseStream, keyword: &Ident) -> Result<Expr> {
    let name = input.parse()?;
    let inner;
    bracketed!(inner in input);
    let layer_input = inner.parse()?;
    inner.parse::<Token![->]>()?;
    let hidden = inner.parse()?;
    parse_word(input, "over")?;
    let over = input.parse()?;
    let initial = match input.parse::<Option<Token![=]>>()? {
        Some(_) => Some(parse_expr(input)?),
        None => None,
    };
    parse_word(input, "to")?;
    let to = parse_expr(input)?;
    let inner;
    let braces = braced!(inner in input);
    let (mut decls, mut statements) = (Vec::new(), Vec::new());
    while parse_decls(&inner, &mut decls)? {}
    while inner.peek(Token![let])
        || (inner.peek(syn::Ident) && inner.peek2(syn::Ident) && inner.fork().parse::<Ident>()? == "output")
    {
        parse_statement(&inner, &mut statements)?;
    }
    if inner.is_empty() {
        return Err(syn::Error::new(
            braces.span.close(),
            "a stack ends with the expression that is the layer's result",
        ));
    }
    let result = parse_expr(&inner)?;
    if !inner.is_empty() {
        return Err(inner.error("a stack ends with the expression that is the layer's result"));
    }
    let range = Range::from(keyword).to(braces.span.close().into());
    let stack = Stack { name, input: layer_input, hidden, over, initial, to, decls, statements, result, range };
    Ok(Expr { kind: ExprKind::Stack(Box::new(stack)), range })
}

fn parse_word(input: ParseStream, word: &str) -> Result<()> {
    let found: Ident = input.parse().map_err(|e| syn::Error::new(e.span(), format!("expected `{word}`")))?;
    if found == word { Ok(()) } else { Err(syn::Error::new(found.span(), format!("expected `{word}`"))) }
}
