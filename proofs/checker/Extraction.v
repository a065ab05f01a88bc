(** * The checker as an OCaml program

    `make checker` compiles this file in build/checker, where it writes checker.ml; main.ml reads
    the plain form of a network and its hints. Lists, pairs and truth values become OCaml's own;
    numbers stay as Coq defines them, so that nothing but the extraction itself and the OCaml
    compiler stands between this program and [check]. *)

From Coq Require Import ExtrOcamlBasic Extraction.
From Lastbit Require Import checker.Program checker.Expansion checker.Executions.

Extraction "checker.ml" check derive expand row_of admits_unit admits_softmax admits_execution
  logit_of FMapPositive.PositiveMap.add.
