//! What a bulk answer means, item by item. Pure.

use serde::Deserialize;

/// What to do after a bulk request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Every item is in, or something newer already was.
    Durable,
    /// These items must be sent again.
    Retry {
        /// Indexes into the batch.
        left: Vec<usize>,
        /// What the first of them was told.
        cause: String,
    },
    /// Some documents will never be taken.
    Refused {
        /// Indexes into the batch, with what they were told.
        refused: Vec<(usize, String)>,
        /// Indexes of others that must be sent again.
        left: Vec<usize>,
    },
    /// Nothing is known about any item, or something is wrong with the index: stop and try the whole batch again.
    Stop {
        /// What was answered.
        cause: String,
    },
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    errors: bool,
    #[serde(default)]
    items: Vec<Action>,
}

#[derive(Deserialize)]
struct Action {
    index: Item,
}

#[derive(Deserialize)]
struct Item {
    status: u16,
    error: Option<Cause>,
}

#[derive(Deserialize)]
struct Cause {
    #[serde(rename = "type")]
    kind: String,
    reason: Option<String>,
}

enum Outcome {
    Done,
    Again,
    Never,
    Stop,
}

/// Judges the answer to a bulk request of `sent` items.
pub(super) fn judge(status: u16, body: &str, sent: usize) -> Verdict {
    if status != 200 {
        return Verdict::Stop { cause: format!("bulk is answered with {status}: {}", beginning(body)) };
    }
    let answer: Answer = match serde_json::from_str(body) {
        Ok(answer) => answer,
        Err(error) => return Verdict::Stop { cause: format!("the bulk answer cannot be read: {error}") },
    };
    if answer.items.len() != sent {
        let cause = format!("the bulk answer has {} items for {sent} sent", answer.items.len());
        return Verdict::Stop { cause };
    }
    if !answer.errors {
        return Verdict::Durable;
    }
    let (mut left, mut first) = (Vec::new(), None);
    let mut refused = Vec::new();
    for (index, action) in answer.items.iter().enumerate() {
        match outcome(&action.index) {
            Outcome::Done => {}
            Outcome::Again => {
                left.push(index);
                first.get_or_insert_with(|| cause(&action.index));
            }
            Outcome::Never => {
                refused.push((index, cause(&action.index)));
            }
            Outcome::Stop => return Verdict::Stop { cause: cause(&action.index) },
        }
    }
    match first {
        _ if !refused.is_empty() => Verdict::Refused { refused, left },
        Some(cause) => Verdict::Retry { left, cause },
        None => Verdict::Durable,
    }
}

fn outcome(item: &Item) -> Outcome {
    match item.status {
        200..=299 => Outcome::Done,
        // an external version conflict: what is there is newer (G5)
        409 => Outcome::Done,
        429 | 500..=599 => Outcome::Again,
        400 if item.error.as_ref().is_some_and(|error| is_about_the_document(&error.kind)) => Outcome::Never,
        // a missing alias, a closed or read-only index, missing rights: an operator's to mend
        _ => Outcome::Stop,
    }
}

fn is_about_the_document(kind: &str) -> bool {
    matches!(
        kind,
        "document_parsing_exception"
            | "mapper_parsing_exception"
            | "strict_dynamic_mapping_exception"
            | "parsing_exception"
    )
}

fn cause(item: &Item) -> String {
    match &item.error {
        Some(error) => {
            format!(
                "{} {}: {}",
                item.status,
                error.kind,
                beginning(error.reason.as_deref().unwrap_or("no reason given"))
            )
        }
        None => format!("{} without an error", item.status),
    }
}

fn beginning(text: &str) -> String {
    text.chars().take(300).map(|c| if c == '\n' { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(status: u16, kind: &str) -> String {
        match kind {
            "" => format!(r#"{{"index":{{"status":{status}}}}}"#),
            _ => {
                format!(r#"{{"index":{{"status":{status},"error":{{"type":"{kind}","reason":"because"}}}}}}"#)
            }
        }
    }

    fn answer(items: &[(u16, &str)]) -> String {
        let errors = items.iter().any(|(_, kind)| !kind.is_empty());
        let items: Vec<String> = items.iter().map(|(status, kind)| item(*status, kind)).collect();
        format!(r#"{{"errors":{errors},"items":[{}]}}"#, items.join(","))
    }

    fn verdict(items: &[(u16, &str)]) -> Verdict {
        judge(200, &answer(items), items.len())
    }

    #[test]
    fn a_conflict_means_that_something_newer_is_there() {
        assert_eq!(
            verdict(&[(201, ""), (409, "version_conflict_engine_exception"), (200, "")]),
            Verdict::Durable
        );
    }

    #[test]
    fn only_the_items_that_were_turned_away_for_now_are_sent_again() {
        let verdict = verdict(&[
            (200, ""),
            (429, "es_rejected_execution_exception"),
            (409, "version_conflict_engine_exception"),
            (503, "unavailable_shards_exception"),
        ]);
        let cause = "429 es_rejected_execution_exception: because".to_owned();
        assert_eq!(verdict, Verdict::Retry { left: vec![1, 3], cause });
    }

    #[test]
    fn a_document_that_does_not_fit_the_mapping_is_definite() {
        let verdict = verdict(&[
            (200, ""),
            (400, "document_parsing_exception"),
            (429, "es_rejected_execution_exception"),
        ]);
        assert_eq!(
            verdict,
            Verdict::Refused {
                refused: vec![(1, "400 document_parsing_exception: because".to_owned())],
                left: vec![2]
            }
        );
    }

    #[test]
    fn a_missing_alias_or_a_closed_index_stops_the_sink() {
        for (status, kind) in [
            (404, "index_not_found_exception"),
            (403, "cluster_block_exception"),
            (400, "index_closed_exception"),
            // an alias over two indexes, none of them to write to
            (400, "illegal_argument_exception"),
        ] {
            assert!(matches!(verdict(&[(200, ""), (status, kind)]), Verdict::Stop { .. }), "{kind}");
        }
    }

    #[test]
    fn an_answer_that_cannot_be_trusted_stops_the_sink() {
        assert!(matches!(judge(503, "busy", 1), Verdict::Stop { .. }));
        assert!(matches!(judge(200, "<html>", 1), Verdict::Stop { .. }));
        assert!(matches!(judge(200, &answer(&[(200, "")]), 2), Verdict::Stop { .. }));
    }
}
