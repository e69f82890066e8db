package load

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/go-sql-driver/mysql"

	"github.com/haproxy-peers/haproxy-peers/e2e/lab"
)

// Rows reads what the node at cfg.Address has of a run, once it has applied all that the cluster has committed before,
// and hands over each row.
func Rows(ctx context.Context, cfg Config, run string, each func(lab.Key) error) error {
	connector, err := mysql.NewConnector(dsn(cfg))
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return fmt.Errorf("%s: %w", cfg.Address, err)
	}
	defer conn.Close()
	if _, err := conn.ExecContext(ctx, "SET SESSION wsrep_sync_wait = 1"); err != nil {
		return fmt.Errorf("%s: %w", cfg.Address, err)
	}
	rows, err := conn.QueryContext(ctx, "SELECT via, client, seq FROM "+table+" WHERE run = ?", run)
	if err != nil {
		return fmt.Errorf("%s: %w", cfg.Address, err)
	}
	defer rows.Close()
	for rows.Next() {
		var key lab.Key
		if err := rows.Scan(&key.Via, &key.Client, &key.Seq); err != nil {
			return fmt.Errorf("%s: %w", cfg.Address, err)
		}
		if err := each(key); err != nil {
			return err
		}
	}
	return rows.Err()
}
