// Random field sets, read by the library that the API server uses: the oracle of common/data/fields.c.
//
// fields lost: pairs of sets, and what the first holds and the second lacks; lines of JSON
// {"before": …, "after": …, "lost": [paths]}.
// fields paths: texts of sets as they may come (paths.go), and the paths that they own; lines of JSON
// {"text": …, "paths": [paths]}.
// Always the same ones.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"
)

const cases = 400

var identifier = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

var names = []string{"spec", "metadata", "labels", "image", "containers", "a", "b", "c", "_x9", "9x",
	"app.kubernetes.io/name", "a:b", "f:a", "a b", "", ".", "é", "quo\"te", "back\\slash", "tab\there"}

var values = []any{"a", "b", "", "x y", "é", "quo\"te", int64(0), int64(80), int64(-3), 1.5, true, false, nil}

func encode(v any) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
	return strings.ReplaceAll(strings.TrimSuffix(out.String(), "\n"), " ", `\u0020`)
}

func element(r *rand.Rand) fieldpath.PathElement {
	switch r.Intn(8) {
	case 0:
		keys := value.FieldList{}
		for i, n := 0, 1+r.Intn(3); i < n; i++ {
			name := names[(r.Intn(4)+i*5)%len(names)]
			keys = append(keys, value.Field{Name: name,
				Value: value.NewValueInterface(values[r.Intn(len(values))])})
		}
		keys.Sort()
		return fieldpath.PathElement{Key: &keys}
	case 1:
		v := value.NewValueInterface(values[r.Intn(len(values))])
		return fieldpath.PathElement{Value: &v}
	case 2:
		index := r.Intn(12)
		return fieldpath.PathElement{Index: &index}
	default:
		name := names[r.Intn(len(names))]
		return fieldpath.PathElement{FieldName: &name}
	}
}

func printed(path fieldpath.Path) string {
	var out strings.Builder
	for _, e := range path {
		switch {
		case e.FieldName != nil && identifier.MatchString(*e.FieldName):
			out.WriteString("." + *e.FieldName)
		case e.FieldName != nil:
			out.WriteString("[" + encode(*e.FieldName) + "]")
		case e.Key != nil:
			keys := []string{}
			for _, field := range *e.Key {
				name := field.Name
				if !identifier.MatchString(name) {
					name = encode(name)
				}
				keys = append(keys, name+"="+encode(field.Value.Unstructured()))
			}
			out.WriteString("[" + strings.Join(keys, ",") + "]")
		case e.Value != nil:
			out.WriteString("[" + encode((*e.Value).Unstructured()) + "]")
		default:
			out.WriteString("[" + strconv.Itoa(*e.Index) + "]")
		}
	}
	return out.String()
}

// The set as it is after it has been written and read, as managedFields are.
func reread(set *fieldpath.Set) (*fieldpath.Set, json.RawMessage) {
	data, err := set.ToJSON()
	if err != nil {
		panic(err)
	}
	again := fieldpath.NewSet()
	if err := again.FromJSON(bytes.NewReader(data)); err != nil {
		panic(fmt.Errorf("%w: %s", err, data))
	}
	return again, data
}

func paths(set *fieldpath.Set) (all []fieldpath.Path) {
	set.Iterate(func(path fieldpath.Path) { all = append(all, path.Copy()) })
	return all
}

func below(set *fieldpath.Set, path fieldpath.Path) bool {
	for _, p := range paths(set) {
		if len(p) > len(path) && p[:len(path)].Equals(path) {
			return true
		}
	}
	return false
}

// A leaf that the other lacks; unless it is owned piece by piece there, or with an ancestor that is
// owned as a whole and was not owned itself.
func isLost(before, after *fieldpath.Set, leaf fieldpath.Path) bool {
	if after.Has(leaf) || below(after, leaf) {
		return false
	}
	for i := 1; i < len(leaf); i++ {
		ancestor := leaf[:i]
		if after.Has(ancestor) && !below(after, ancestor) && !before.Has(ancestor) {
			return false
		}
	}
	return true
}

func printLine(line any) {
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	os.Stdout.Write(append(text, '\n'))
}

func main() {
	r := rand.New(rand.NewSource(1))
	switch strings.Join(os.Args[1:], " ") {
	case "lost":
		printLost(r)
	case "paths":
		printPaths(r)
	default:
		fmt.Fprintln(os.Stderr, "usage: fields lost|paths")
		os.Exit(2)
	}
}

func printLost(r *rand.Rand) {
	for i := 0; i < cases; i++ {
		before, after := fieldpath.NewSet(), fieldpath.NewSet()
		trunk := []fieldpath.Path{{}}
		for j, n := 0, 1+r.Intn(14); j < n; j++ {
			path := append(trunk[r.Intn(len(trunk))].Copy(), element(r))
			trunk = append(trunk, path)
			if r.Intn(4) > 0 {
				before.Insert(path)
			}
			switch r.Intn(4) {
			case 0:
			case 1:
				after.Insert(append(path.Copy(), element(r)))
			default:
				after.Insert(path)
			}
		}
		one, oneJSON := reread(before)
		two, twoJSON := reread(after)
		lost := []string{}
		for _, leaf := range paths(one.Leaves()) {
			if isLost(one, two, leaf) {
				lost = append(lost, printed(leaf))
			}
		}
		sort.Strings(lost)
		printLine(map[string]any{"before": oneJSON, "after": twoJSON, "lost": lost})
	}
}
