//! Writes of which one message to SQLite's thread is enough.
//!
//! A message there and its answer take as long as what they ask for, and on the way of a slot to its savepoint
//! little else is waited for but them and the disk. So what is usual is one statement, or several in one text,
//! for a whole group: claims; steps that leave nothing; steps and what they leave, where all goes as one would
//! hope. Whatever is otherwise is left to a transaction that goes step by step.

use lowtide_core::name::Location;
use lowtide_core::ports::Commit;
use sqlx::{Pool, Sqlite, SqliteConnection};

use super::{Answers, Asked, Write, answers, done, first_baselines, first_steps};
use crate::port::{NewRuns, claims, insert_runs, record_all, replace_runs};
use crate::rows::{broken, is_locked};
use crate::sql;

type Result<T, E = sqlx::Error> = std::result::Result<T, E>;

/// Answers what it can, and takes it out of the group. What is left has changed nothing.
pub(super) async fn answer(writer: &Pool<Sqlite>, group: &mut Vec<Asked>) {
    if group.is_empty() {
        return;
    }
    let answers = match at_one_go(writer, group).await {
        Ok(answers) => answers,
        // Nobody waits for the file twice.
        Err(error) if is_locked(&error) => vec![Some(Err(broken("writing")(error))); group.len()],
        // Which of them broke it is found one by one.
        Err(_) => return,
    };
    for (asked, answer) in std::mem::take(group).into_iter().zip(answers) {
        match answer {
            Some(answer) => asked.answer(answer),
            None => group.push(asked),
        }
    }
}

async fn at_one_go(writer: &Pool<Sqlite>, group: &[Asked]) -> Result<Answers> {
    if let Some(claims) = all(group, Write::new_runs) {
        claim(writer, &claims).await
    } else if all(group, Write::plain_step).is_some() {
        let (indices, commits) = first_steps(group);
        let mut connection = writer.acquire().await?;
        let are_done = replace_runs(&mut connection, &commits).await?;
        Ok(answers(group.len(), done(indices, are_done)))
    } else {
        record(writer, group).await
    }
}

/// What each write of the group is, if all of them are.
fn all<'a, T>(group: &'a [Asked], what: impl Fn(&'a Write) -> Option<T>) -> Option<Vec<T>> {
    group.iter().map(|asked| what(&asked.write)).collect()
}

async fn claim(writer: &Pool<Sqlite>, new: &[NewRuns<'_>]) -> Result<Answers> {
    let mut connection = writer.acquire().await?;
    let mut inserted = match insert_runs(&mut connection, sql::CLAIM_ALONE, new).await {
        Ok(inserted) => inserted,
        Err(error) => {
            roll_back(&mut connection).await;
            return Err(error);
        }
    };
    let mut answers = Vec::with_capacity(new.len());
    for claim in new {
        answers.push(Some(claims(&mut connection, *claim, &mut inserted).await));
    }
    Ok(answers)
}

/// Steps, and what they leave, where all goes as one would hope: each step may be done, and no place has a record.
/// Otherwise nothing is done.
async fn record(writer: &Pool<Sqlite>, group: &[Asked]) -> Result<Answers> {
    let (steps, commits) = first_steps(group);
    let (places, baselines) = first_baselines(group);
    if steps.len() + places.len() < group.len() {
        return Ok(vec![None; group.len()]);
    }
    let mut connection = writer.acquire().await?;
    let committed = commit_as_hoped(&mut connection, &commits, &baselines).await;
    if !matches!(committed, Ok(true)) {
        roll_back(&mut connection).await;
    }
    let all = || answers(group.len(), steps.into_iter().chain(places));
    Ok(if committed? {
        all()
    } else {
        vec![None; group.len()]
    })
}

async fn commit_as_hoped(
    connection: &mut SqliteConnection,
    commits: &[Commit<'_>],
    baselines: &[(&Location, &[u8])],
) -> Result<bool> {
    let as_hoped = record_all(connection, commits, baselines).await?;
    if as_hoped {
        sqlx::query(sql::COMMIT).execute(connection).await?;
    }
    Ok(as_hoped)
}

/// Ends a transaction that came to nothing, if it began at all.
async fn roll_back(connection: &mut SqliteConnection) {
    let _ = sqlx::query(sql::ROLLBACK).execute(connection).await;
}
