//! Pausing applications: no slot of a paused one fires, and none of that time fires afterwards.

use jiff::Timestamp;
use lowtide_core::name::AppKey;
use lowtide_core::ports::CatalogError;

use crate::open::Catalog;
use crate::port::end;
use crate::rows::{application, broken, instant};
use crate::sql;

/// An application that is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paused {
    /// Which.
    pub application: AppKey,
    /// Since when.
    pub since: Timestamp,
}

impl Catalog {
    /// Pauses an application from `now` on; `false` if it was paused already.
    pub async fn pause(&self, key: &AppKey, now: Timestamp) -> Result<bool, CatalogError> {
        let mut transaction = self.begin().await?;
        let lasting = sqlx::query(sql::LASTING_PAUSE)
            .bind(key.platform.as_str())
            .bind(key.application.as_str())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(broken("reading a pause"))?;
        if lasting.is_some() {
            return Ok(false);
        }
        sqlx::query(sql::INSERT_PAUSE)
            .bind(key.platform.as_str())
            .bind(key.application.as_str())
            .bind(now.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(broken("pausing"))?;
        end(transaction).await?;
        Ok(true)
    }

    /// Ends an application's pause; `false` if it was not paused. A pause never ends before it
    /// began, whatever the clock says.
    pub async fn unpause(&self, key: &AppKey, now: Timestamp) -> Result<bool, CatalogError> {
        let mut transaction = self.begin().await?;
        let lasting = sqlx::query(sql::LASTING_PAUSE)
            .bind(key.platform.as_str())
            .bind(key.application.as_str())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(broken("reading a pause"))?;
        let Some(lasting) = lasting else {
            return Ok(false);
        };
        let until = now.max(instant(&lasting, 0)?);
        sqlx::query(sql::END_PAUSE)
            .bind(key.platform.as_str())
            .bind(key.application.as_str())
            .bind(until.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(broken("unpausing"))?;
        end(transaction).await?;
        Ok(true)
    }

    /// The applications that are paused, by name.
    pub async fn pauses(&self) -> Result<Vec<Paused>, CatalogError> {
        let rows = sqlx::query(sql::PAUSES_THAT_LAST)
            .fetch_all(&self.readers)
            .await
            .map_err(broken("reading pauses"))?;
        rows.iter()
            .map(|row| {
                Ok(Paused {
                    application: application(row)?,
                    since: instant(row, 2)?,
                })
            })
            .collect()
    }
}
