package mapping

import "testing"

func TestFlattenTakesObjectsAndListsApart(t *testing.T) {
	in, err := parseJSON([]byte(`{"E":{"P":[1,2],"V":230},"L":[{"a":1},[5]],"n":null}`), 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, expr, want string }{
		{"lists stay whole", `flatten(payload, "_")`, `{"E_P":[1,2],"E_V":230,"L":[{"a":1},[5]],"n":null}`},
		{"lists are counted from the number given", `flatten(payload, "_", 1)`, `{"E_P_1":1,"E_P_2":2,"E_V":230,"L_1_a":1,"L_2_1":5,"n":null}`},
		{"objects that the library made are objects", `flatten(merge(fromPairs([["a", 1]]), fromPairs([["b", {"c": 2}]])), "_")`, `{"a":1,"b_c":2}`},
		{"a pair is a list", `map(toPairs({"P": payload.E.P}), [#[1], #[0], #])`, `[[[1,2],"P",["P",[1,2]]]]`},
		{"members come in the order of their names", `[keys(payload), values(payload.E), toPairs({"b": 1, "a": 2, "c": 3, "aa": 4})]`, `[["E","L","n"],[[1,2],230],[["a",2],["aa",4],["b",1],["c",3]]]`},
		{"the separator counts for lists too", `flatten(payload.E, ".", 0)`, `{"P.0":1,"P.1":2,"V":230}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			x, err := compileExpression(c.expr)
			if err != nil {
				t.Fatal(err)
			}
			v, err := x.run(func(string) any { return in })
			if err != nil {
				t.Fatal(err)
			}
			if got := string(appendAny(nil, v)); got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
	x, err := compileExpression(`flatten(payload, "_", "1")`)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.run(func(string) any { return in }); err == nil {
		t.Error("a number given as text is taken")
	}
}
