package galera

import (
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"strconv"
	"time"
)

// value is one field of an answer as text; nil is NULL. It is valid until the next
// row.
type value []byte

func (v value) text() string { return string(v) }

func (v value) number() uint64 {
	n, err := strconv.ParseUint(string(v), 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// times is the value as a duration, in multiples of a unit. A negative one is 0: the
// server's clock was set back.
func (v value) times(unit float64) time.Duration {
	f, err := strconv.ParseFloat(string(v), 64)
	if err != nil || f < 0 {
		return 0
	}
	return time.Duration(f * unit)
}

// queryRows runs statements in one round trip and calls row with every row and the
// number of its result. Statements without a result have none.
func queryRows(c driver.Conn, text string, row func(result int, row []value) error) (err error) {
	defer recoverAsProtocolError(&err)
	rows, err := c.(driver.QueryerContext).QueryContext(context.Background(), text, nil)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }() // an error has been seen, or everything was read
	results := rows.(driver.RowsNextResultSet)
	var (
		raw    []driver.Value
		fields []value
		space  []byte
	)
	for result := 0; ; {
		columns := len(rows.Columns())
		if columns > 0 {
			if cap(raw) < columns {
				raw, fields = make([]driver.Value, columns), make([]value, columns)
			}
			for {
				if err := rows.Next(raw[:columns]); errors.Is(err, io.EOF) {
					break
				} else if err != nil {
					return err
				}
				space = space[:0]
				for i, v := range raw[:columns] {
					fields[i], space = asText(v, space)
				}
				if err := row(result, fields[:columns]); err != nil {
					return err
				}
			}
			result++
		}
		if err := results.NextResultSet(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// asText is a value of the driver as text, which may be put at the end of space:
// the driver turns columns that hold numbers into numbers.
func asText(v driver.Value, space []byte) (value, []byte) {
	from := len(space)
	switch v := v.(type) {
	case []byte:
		return v, space
	case string:
		return value(v), space
	case int64:
		space = strconv.AppendInt(space, v, 10)
	case uint64:
		space = strconv.AppendUint(space, v, 10)
	case float32:
		space = strconv.AppendFloat(space, float64(v), 'f', -1, 32)
	case float64:
		space = strconv.AppendFloat(space, v, 'f', -1, 64)
	default:
		return nil, space
	}
	return space[from:len(space):len(space)], space
}
