//! What a person adopts: the one way for a savepoint into the catalog without a run.

use lowtide_core::name::Location;
use lowtide_core::ports::CatalogError;
use lowtide_core::savepoint::Savepoint;

use crate::open::Catalog;
use crate::port::{end, insert_savepoints};
use crate::questions::array;
use crate::rows::{broken, record};
use crate::sql;

impl Catalog {
    /// Records a savepoint, unless its location or one of `places` has a record already: then
    /// nothing changes, and that record is the answer. `places` are other names of its location.
    pub async fn adopt(
        &self,
        savepoint: &Savepoint,
        places: &[Location],
    ) -> Result<Option<Savepoint>, CatalogError> {
        let mut transaction = self.begin().await?;
        let known = sqlx::query(sql::SAVEPOINTS_AT)
            .bind(array(places))
            .fetch_optional(&mut *transaction)
            .await
            .map_err(broken("looking for savepoints by place"))?;
        if let Some(row) = known {
            return record(&row).map(Some);
        }
        let inserted = insert_savepoints(&mut transaction, &[savepoint]).await?;
        if inserted.is_empty() {
            let row = sqlx::query(sql::SAVEPOINT)
                .bind(savepoint.location.as_str())
                .fetch_one(&mut *transaction)
                .await
                .map_err(broken("reading a savepoint"))?;
            return record(&row).map(Some);
        }
        end(transaction).await?;
        Ok(None)
    }
}
