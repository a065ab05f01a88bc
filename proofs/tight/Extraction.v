(** * The fast checker as an OCaml program

    `make checker` compiles this file in build/checker, where it writes bound.ml; bound_main.ml
    reads an ONNX file and flags.txt. Machine integers become OCaml's own, which have 63 bits as
    well (uint63.ml); other numbers stay as Coq defines them. *)

From Coq Require Import ExtrOcamlBasic ExtrOCamlInt63 Extraction.
From Lastbit Require Import checker.Program hash.Sha256 onnx.Placement onnx.Onnx onnx.Units
  tight.Decided.

Extraction "bound.ml" read sound sha256 decide upper_of logit_keys.
