(** * Programs that compute a file in IEEE 754 binary32

    Their loops add the terms of a sum from left to right, with or without fused multiply-add:

    - [ieee_fused]: the sums of the normal form, in which a shortcut is one more term of the
      convolution's loop, and a quotient is multiplied where it is read;
    - [ieee_as_written]: each operator by itself, as the file lists them.

    Both are executions of the network of which the theorem of a file speaks, if that is
    [always_finite]: nothing they compute overflows. Rests on AsWritten.v and Runs.v. *)

From Coq Require Import Reals List Arith Lia ZArith Uint63.
From Flocq Require Import IEEE754.Binary IEEE754.Bits.
From Lastbit Require Import Statement operations.Convolution.
From Lastbit Require Import binary32.Ieee binary32.Loops network.Runs.
From Lastbit Require Import onnx.File onnx.Placement onnx.Normal onnx.AsWritten.
Import ListNotations.
Open Scope nat_scope.

Section File.
Variables (file : list int) (raw ns : list node).
Hypothesis Hraw : sound raw = true.
Hypothesis Hns : sound ns = true.
Hypothesis Hn : normal_form raw = Some ns.
Hypothesis finite : always_finite (network_of_file file ns).

Lemma logits_before l : ns <> [] -> In l (logits (network_of_file file ns)) ->
  l < length (units (network_of_file file ns)).
Proof.
  intros N. cbn [logits network_of_file]. unfold tensor_units. rewrite in_seq. intros [_ L].
  set (i := Nat.pred (length ns)) in *. assert (Hi : i < length ns).
  { unfold i. destruct ns; [congruence|cbn; lia]. }
  destruct (nth_error ns i) as [n|] eqn:E; [|apply nth_error_None in E; lia].
  assert (T := tensor_first ns i n E). unfold tensor_at in T.
  assert (W := first_is file ns Hns (length ns) (le_n _)). rewrite firstn_all in W.
  cbn [units network_of_file]. rewrite W, T in *.
  rewrite <- (layout_length ns) in Hi |- *. rewrite firstn_all.
  apply Nat.lt_le_trans with (1 := L).
  assert (Next := firstn_S (layout ns) i (nth i (layout ns) nowhere) (nth_error_nth' _ _ Hi)).
  replace (sizes (firstn i (layout ns)) + units_of (nth i (layout ns) nowhere))
    with (sizes (firstn (S i) (layout ns))).
  - replace (S i) with (length (layout ns)) by (rewrite layout_length in *; lia).
    now rewrite firstn_all.
  - rewrite Next. unfold sizes. rewrite map_app, list_sum_app. cbn. lia.
Qed.

(** To nearest; ties to even, or away from zero. *)
Variable m : BinarySingleNaN.mode.
Hypothesis Hm : nearest_mode m.
Variable step : binary32 -> float_term -> binary32.
Hypothesis Hstep : step = plain m \/ step = fused m.

(** A library that keeps to the assumptions. *)
Variables sigmoids silus exps : binary32 -> binary32.
Hypothesis Hsigmoid : forall a, computes_sigmoid (value_of a) (value_of (sigmoids a)).
Hypothesis Hsilu : forall a, computes_silu (value_of a) (value_of (silus a)).
Hypothesis Hexp : forall a, (B2R 24 128 a <= 0)%R -> computes_exp (value_of a) (value_of (exps a)).
Hypothesis exp_positive : forall a, (0 <= B2R 24 128 (exps a))%R.

Variable v : nat -> Z.
Hypothesis Hv : image v.
Variables d p : nat -> binary32.

Lemma some_operator net : logits net = logits (network_of_file file ns) ->
  ieee_run m step sigmoids silus exps net v d p -> ns <> [].
Proof.
  intros E (_ & k & Hk & _) ->. rewrite E in Hk. cbn in Hk. lia.
Qed.

Theorem ieee_fused : Forall storable_unit (units (network_of_file file ns)) ->
  ieee_run m step sigmoids silus exps (network_of_file file ns) v d p ->
  execution (network_of_file file ns) v (fun k => value_of (d k)) (fun c => value_of (p c)).
Proof.
  intros C H. assert (N := some_operator _ eq_refl H).
  apply (ieee_execution m Hm step Hstep sigmoids silus exps); try assumption.
  intros l Hl. now apply logits_before.
Qed.

(* map: a file's operators in IEEE loops, one by one, are an execution *)
Theorem ieee_as_written : Forall storable_unit (units (network_as_written file raw)) ->
  ieee_run m step sigmoids silus exps (network_as_written file raw) v d p ->
  execution (network_of_file file ns) v (fun k => value_of (d k)) (fun c => value_of (p c)).
Proof.
  intros C H. destruct (file_written file raw ns Hraw Hns Hn) as [El _].
  assert (N := some_operator _ El H).
  apply (as_written_execution file raw ns Hraw Hns Hn); try assumption.
  apply (ieee_execution m Hm step Hstep sigmoids silus exps); try assumption.
  - exact (as_written_finite file raw ns Hraw Hns Hn finite).
  - intros l Hl. rewrite (as_many file raw ns Hraw Hns Hn). rewrite El in Hl.
    now apply logits_before.
Qed.
End File.
