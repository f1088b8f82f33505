package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"sort"
	"strings"

	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
)

const texts = 600

// node is a set as a tree of members, to be written in any order and spelling.
type node struct {
	owned    bool
	elements []fieldpath.PathElement
	children []*node
}

func (n *node) child(e fieldpath.PathElement) *node {
	for i := range n.elements {
		if n.elements[i].Equals(e) {
			return n.children[i]
		}
	}
	n.elements = append(n.elements, e)
	n.children = append(n.children, &node{})
	return n.children[len(n.children)-1]
}

// quote writes a JSON string, some of its characters as escapes that mean the same.
func quote(r *rand.Rand, text string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, c := range text {
		switch {
		case c < ' ' || c == '"' || c == '\\' || r.Intn(25) == 0 && c < 0x10000:
			fmt.Fprintf(&out, `\u%04x`, c)
		case c == '/' && r.Intn(2) == 0:
			out.WriteString(`\/`)
		default:
			out.WriteRune(c)
		}
	}
	out.WriteByte('"')
	return out.String()
}

func blank(r *rand.Rand) string {
	return []string{"", "", "", " ", "  ", "\n", "\t", " \r\n"}[r.Intn(8)]
}

// spell writes a value: a number may come as 80, 80.0 or 8e1.
func spell(r *rand.Rand, v any) string {
	switch v := v.(type) {
	case string:
		return quote(r, v)
	case int64:
		switch r.Intn(6) {
		case 0:
			return fmt.Sprintf("%d.0", v)
		case 1:
			return fmt.Sprintf("%de0", v)
		}
	}
	return encode(v)
}

// member writes a step; the keys of a list item come in any order.
func member(r *rand.Rand, e fieldpath.PathElement) string {
	switch {
	case e.FieldName != nil:
		return "f:" + *e.FieldName
	case e.Value != nil:
		return "v:" + spell(r, (*e.Value).Unstructured())
	case e.Index != nil:
		return fmt.Sprintf("i:%d", *e.Index)
	}
	keys := []string{}
	for _, field := range *e.Key {
		keys = append(keys, quote(r, field.Name)+blank(r)+":"+blank(r)+spell(r, field.Value.Unstructured()))
	}
	r.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	return "k:{" + blank(r) + strings.Join(keys, ","+blank(r)) + blank(r) + "}"
}

// unknown is what a later version may write: a prefix that nobody knows.
func unknown(r *rand.Rand) string {
	name := []string{"x:a", "z:", "F:spec", "K:{}", "0:1"}[r.Intn(5)] + strings.Repeat("'", r.Intn(3))
	content := []string{"{}", `{"f:a":{}}`, `{".":{},"x:b":{"f:c":{}}}`}[r.Intn(3)]
	return quote(r, name) + ":" + content
}

func (n *node) write(r *rand.Rand) string {
	parts, seen := []string{}, map[string]bool{}
	if n.owned && (len(n.elements) > 0 || r.Intn(2) == 0) {
		parts = append(parts, quote(r, ".")+":"+blank(r)+"{}")
	}
	for i, e := range n.elements {
		parts = append(parts, quote(r, member(r, e))+blank(r)+":"+blank(r)+n.children[i].write(r))
	}
	for r.Intn(4) == 0 {
		if part := unknown(r); !seen[strings.SplitN(part, ":{", 2)[0]] && len(seen) == 0 {
			seen[strings.SplitN(part, ":{", 2)[0]] = true
			parts = append(parts, part)
		}
	}
	r.Shuffle(len(parts), func(i, j int) { parts[i], parts[j] = parts[j], parts[i] })
	return blank(r) + "{" + blank(r) + strings.Join(parts, blank(r)+","+blank(r)) + blank(r) + "}" + blank(r)
}

func printPaths(r *rand.Rand) {
	for i := 0; i < texts; i++ {
		root := &node{}
		trunk := []*node{root}
		for j, n := 0, r.Intn(18); j < n; j++ {
			child := trunk[r.Intn(len(trunk))].child(element(r))
			child.owned = child.owned || r.Intn(3) > 0
			trunk = append(trunk, child)
		}
		text := root.write(r)
		set := fieldpath.NewSet()
		if err := set.FromJSON(strings.NewReader(text)); err != nil {
			panic(fmt.Errorf("%w: %s", err, text))
		}
		if !json.Valid([]byte(text)) {
			panic(text)
		}
		owned := []string{}
		for _, path := range paths(set) {
			owned = append(owned, printed(path))
		}
		sort.Strings(owned)
		printLine(map[string]any{"text": text, "paths": owned})
	}
}
