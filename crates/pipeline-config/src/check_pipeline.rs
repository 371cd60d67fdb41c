//! raw -> model for the pipelines: every rule that needs no database.

use std::{collections::BTreeSet, ops::Range};

use toml::Spanned;

use crate::{
    ColumnRule, Condition, ConfigError, Constant, FieldRule, Name, Otherwise, Pipeline, Side, SideFields,
    Source, Test, check::Text, raw,
};

/// What a bill field can hold.
#[derive(Clone, Copy)]
enum Kind {
    /// Only a column can tell: ids and times.
    ColumnOnly,
    /// Integer minor units.
    Amount,
    /// At most so many ASCII characters.
    Ascii(usize),
    /// At most so many characters.
    Text(usize),
    /// `in` or `out`.
    Direction,
    /// Three capital letters.
    Currency,
}

pub(crate) fn all(
    text: &Text<'_>,
    raw: Vec<Spanned<raw::Pipeline>>,
    sources: &[Source],
) -> Result<Vec<Pipeline>, ConfigError> {
    let mut names = BTreeSet::new();
    let mut pipelines = Vec::new();
    for pipeline in raw {
        let name_span = pipeline.get_ref().name.span();
        let pipeline = one(text, pipeline, sources)?;
        if !names.insert(pipeline.name.clone()) {
            return Err(text.invalid(name_span, format!("two pipelines are called {}", pipeline.name)));
        }
        pipelines.push(pipeline);
    }
    Ok(pipelines)
}

fn one(text: &Text<'_>, raw: Spanned<raw::Pipeline>, sources: &[Source]) -> Result<Pipeline, ConfigError> {
    let span = raw.span();
    let raw = raw.into_inner();
    let name = text.name(&raw.name, Name::MAX)?;
    let Some(source) = sources.iter().find(|source| source.name.as_str() == raw.source.get_ref()) else {
        let known: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
        let message = format!("no [source.{}]: the sources are {}", raw.source.get_ref(), known.join(", "));
        return Err(text.invalid(raw.source.span(), message));
    };
    let table = text.table(&raw.table)?;
    if !source.captures(table.database(), table.table()) {
        let message = format!("source {} does not capture {table}: add it to its tables", source.name);
        return Err(text.invalid(raw.table.span(), message));
    }
    let id = id(text, raw.bill.id.as_ref(), &span)?;
    let when = conditions(text, raw.when)?;
    if raw.side.is_empty() {
        return Err(text.invalid(
            raw.name.span(),
            format!("pipeline {name} has no [[pipeline.side]]: whose bills are they?"),
        ));
    }
    let mut sides: Vec<Side> = Vec::new();
    for side in raw.side {
        let side = self::side(text, side, &raw.bill)?;
        if sides.iter().any(|other| other.name == side.name) {
            let message = format!("pipeline {name} has two sides called {}", side.name);
            return Err(ConfigError::Invalid { place: side.place, message });
        }
        sides.push(side);
    }
    Ok(Pipeline {
        name,
        source: source.name.clone(),
        table,
        table_place: text.place(raw.table.span()),
        when,
        id,
        sides,
    })
}

fn id(
    text: &Text<'_>,
    raw: Option<&Spanned<raw::Field>>,
    pipeline: &Range<usize>,
) -> Result<ColumnRule, ConfigError> {
    let Some(raw) = raw else {
        return Err(text.invalid(
            pipeline.clone(),
            "pipeline.bill.id is missing: wanted { column = \"the primary key\" }",
        ));
    };
    match rule(text, "id", Kind::ColumnOnly, raw)? {
        FieldRule::Column(column) if column.values.is_empty() => Ok(column),
        _ => Err(text.invalid(raw.span(), "id takes the column as it is: no value map")),
    }
}

fn side(text: &Text<'_>, raw: Spanned<raw::Side>, bill: &raw::Fields) -> Result<Side, ConfigError> {
    let raw = raw.into_inner();
    let name = text.name(&raw.name, Name::MAX_SIDE)?;
    let place = text.place(raw.name.span());
    // the side's own rule wins over the one for all sides
    let optional = |field: &'static str,
                    kind,
                    own: &Option<Spanned<raw::Field>>,
                    shared: &Option<Spanned<raw::Field>>| {
        own.as_ref().or(shared.as_ref()).map(|field_rule| rule(text, field, kind, field_rule)).transpose()
    };
    let wanted = |field: &'static str,
                  kind,
                  own: &Option<Spanned<raw::Field>>,
                  shared: &Option<Spanned<raw::Field>>| {
        optional(field, kind, own, shared)?.ok_or_else(|| {
            let message = format!("side {name} has no {field}: give it here or in [pipeline.bill]");
            text.invalid(raw.name.span(), message)
        })
    };
    let fields = SideFields {
        account: rule(text, "account", Kind::ColumnOnly, &raw.account)?,
        merchant: rule(text, "merchant", Kind::ColumnOnly, &raw.merchant)?,
        bill_type: wanted("bill_type", Kind::Ascii(16), &raw.bill_type, &bill.bill_type)?,
        direction: wanted("direction", Kind::Direction, &raw.direction, &bill.direction)?,
        status: wanted("status", Kind::Ascii(24), &raw.status, &bill.status)?,
        amount: wanted("amount", Kind::Amount, &raw.amount, &bill.amount)?,
        fee: wanted("fee", Kind::Amount, &raw.fee, &bill.fee)?,
        currency: wanted("currency", Kind::Currency, &raw.currency, &bill.currency)?,
        balance_after: optional("balance_after", Kind::Amount, &raw.balance_after, &bill.balance_after)?,
        occurred_at: wanted("occurred_at", Kind::ColumnOnly, &raw.occurred_at, &bill.occurred_at)?,
        posted_at: wanted("posted_at", Kind::ColumnOnly, &raw.posted_at, &bill.posted_at)?,
        counterparty: wanted("counterparty", Kind::Text(128), &raw.counterparty, &bill.counterparty)?,
        order_no: wanted("order_no", Kind::Text(64), &raw.order_no, &bill.order_no)?,
        channel: wanted("channel", Kind::Text(32), &raw.channel, &bill.channel)?,
        channel_ref: optional("channel_ref", Kind::Text(64), &raw.channel_ref, &bill.channel_ref)?,
        remark: wanted("remark", Kind::Text(255), &raw.remark, &bill.remark)?,
    };
    Ok(Side { name, place, when: conditions(text, raw.when)?, fields })
}

fn rule(
    text: &Text<'_>,
    field: &str,
    kind: Kind,
    raw: &Spanned<raw::Field>,
) -> Result<FieldRule, ConfigError> {
    let span = raw.span();
    match raw.get_ref() {
        raw::Field { column: Some(column), constant: None, values, otherwise } => {
            let values = values.clone().unwrap_or_default();
            let otherwise = match otherwise {
                None if values.is_empty() => Otherwise::Keep,
                None => Otherwise::Refuse,
                Some(otherwise) if values.is_empty() => {
                    return Err(text.invalid(
                        otherwise.span(),
                        "otherwise belongs to a value map: give values = { .. } too",
                    ));
                }
                Some(otherwise) => match otherwise.get_ref() {
                    raw::Otherwise::Refuse => Otherwise::Refuse,
                    raw::Otherwise::Keep => Otherwise::Keep,
                    raw::Otherwise::Constant(constant) => Otherwise::Constant(constant.clone()),
                },
            };
            let fallback = match &otherwise {
                Otherwise::Constant(constant) => Some(constant),
                Otherwise::Refuse | Otherwise::Keep => None,
            };
            for value in values.values().chain(fallback) {
                fits(field, kind, &Constant::Text(value.clone()))
                    .map_err(|message| text.invalid(span.clone(), message))?;
            }
            let place = text.place(column.span());
            Ok(FieldRule::Column(ColumnRule { name: column.get_ref().clone(), place, values, otherwise }))
        }
        raw::Field { column: None, constant: Some(constant), values: None, otherwise: None } => {
            let constant = scalar(constant);
            fits(field, kind, &constant).map_err(|message| text.invalid(span, message))?;
            Ok(FieldRule::Constant(constant))
        }
        _ => Err(text.invalid(
            span,
            format!("{field} is {{ column = \"..\" }} (with values, otherwise) or {{ constant = .. }}"),
        )),
    }
}

/// Whether a configured value can stand in that bill field.
fn fits(field: &str, kind: Kind, constant: &Constant) -> Result<(), String> {
    let shown = match constant {
        Constant::Text(text) => format!("\"{text}\""),
        Constant::Int(number) => number.to_string(),
        Constant::Bool(truth) => truth.to_string(),
    };
    let wanted = match (kind, constant) {
        (Kind::Amount, Constant::Int(_)) => return Ok(()),
        (Kind::Ascii(max), Constant::Text(t))
            if !t.is_empty() && t.len() <= max && t.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            return Ok(());
        }
        (Kind::Text(max), Constant::Text(t)) if t.chars().count() <= max => return Ok(()),
        (Kind::Direction, Constant::Text(t)) if t == "in" || t == "out" => return Ok(()),
        (Kind::Currency, Constant::Text(t)) if t.len() == 3 && t.bytes().all(|b| b.is_ascii_uppercase()) => {
            return Ok(());
        }
        (Kind::ColumnOnly, _) => "a column of the row, as it is".to_owned(),
        (Kind::Amount, _) => "a whole number of minor units".to_owned(),
        (Kind::Ascii(max), _) => format!("1 to {max} printable ASCII characters without spaces"),
        (Kind::Text(max), _) => format!("text of at most {max} characters"),
        (Kind::Direction, _) => "\"in\" or \"out\"".to_owned(),
        (Kind::Currency, _) => "three capital letters".to_owned(),
    };
    Err(format!("{field} cannot be {shown}: wanted {wanted}"))
}

fn conditions(text: &Text<'_>, raw: Vec<Spanned<raw::Condition>>) -> Result<Vec<Condition>, ConfigError> {
    raw.into_iter().map(|condition| self::condition(text, condition)).collect()
}

fn condition(text: &Text<'_>, raw: Spanned<raw::Condition>) -> Result<Condition, ConfigError> {
    let span = raw.span();
    let raw = raw.into_inner();
    let test = match (raw.is, raw.equals, raw.one_of) {
        (Some(is), None, None) => match is.get_ref().as_str() {
            "not_null" => Test::NotNull,
            "null" => Test::Null,
            other => {
                return Err(
                    text.invalid(is.span(), format!("\"{other}\" is not a test: wanted not_null or null"))
                );
            }
        },
        (None, Some(value), None) => Test::OneOf(vec![scalar(&value)]),
        (None, None, Some(list)) if !list.is_empty() => Test::OneOf(list.iter().map(scalar).collect()),
        _ => {
            return Err(
                text.invalid(span, "a condition has one of is = .., equals = .., in = [..] (not empty)")
            );
        }
    };
    let column = ColumnRule {
        name: raw.column.get_ref().clone(),
        place: text.place(raw.column.span()),
        values: Default::default(),
        otherwise: Otherwise::Keep,
    };
    Ok(Condition { column, test })
}

fn scalar(raw: &raw::Scalar) -> Constant {
    match raw {
        raw::Scalar::Text(text) => Constant::Text(text.clone()),
        raw::Scalar::Int(number) => Constant::Int(*number),
        raw::Scalar::Bool(truth) => Constant::Bool(*truth),
    }
}
