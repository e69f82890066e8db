package grants

import "fmt"

// CallEvict is the statement that evicts a process from the view that it names. Its arguments are checked by the procedure; here
// they cannot end their quotes.
func CallEvict(victim string, confID int64, period string) string {
	return fmt.Sprintf("CALL %s.%s(%s,%d,%s)", Schema, ProcedureEvict, quoted(victim), max(confID, 0), quoted(period))
}

// CallEvictLast is the same for the last of two.
func CallEvictLast(victim string, confID int64, period string) string {
	return fmt.Sprintf("CALL %s.%s(%s,%d,%s)", Schema, ProcedureEvictLast, quoted(victim), max(confID, 0), quoted(period))
}

// CallClear is the statement that empties the list and puts evs.join_retrans_period back.
func CallClear(period string) string {
	return fmt.Sprintf("CALL %s.%s(%s)", Schema, ProcedureClear, quoted(period))
}

// quoted is a text between quotes, without what no UUID and no period has.
func quoted(s string) string {
	kept := make([]byte, 0, len(s)+2)
	kept = append(kept, '\'')
	for i := range len(s) {
		if c := s[i]; c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c == '-' || c == '.' || c == 'P' || c == 'T' || c == 'S' {
			kept = append(kept, c)
		}
	}
	return string(append(kept, '\''))
}
