(** * The linear core of a sum

    - [linear_weights]: a linear unit is affine, with its weights divided by its divisor;
    - [linear_gap]: its core has the weights rounded down, and this is what they miss.

    Rests on Rules.v and Annotation.v. Stands behind the rule of sums. *)

From Coq Require Import Reals Lra Lia ZArith List Bool.
From Lastbit Require Import Statement Totals binary32.Terms operations.Units network.Rules.
From Lastbit Require Import checker.Program checker.Numbers checker.Vectors checker.Annotation.
From Lastbit Require operations.Convolution.
Import ListNotations.
Open Scope R_scope.

Section Linear.
Variables (at_ : positive -> row) (k : nat).

(** The exact weights of a linear unit, divided by [c] if there is one, and what its core misses. *)
Definition exact_weights (ws : sparse) (c : option Z) : nat -> R :=
  Rules.weight (plain (weighted (divisor c) (entries ws))).

Lemma weight_difference ws c j : exact_weights ws c j - coef (shares ws c) j =
  Rules.weight (map (fun x => (match c with None => 0 | Some c =>
    real (fst x) / real c - real (fst x * one / c) end, num (snd x))) ws) j.
Proof.
  unfold exact_weights, coef, Rules.weight, plain, weighted, Convolution.weighted, entries, shares.
  destruct c as [c|]; (induction ws as [|x ws IH]; [cbn; ring|]); cbn [map fst snd] in *;
    rewrite !total_cons, <- IH;
    unfold constant; cbn [divisor map fold_right number]; destruct (num (snd x) =? j)%nat;
      unfold Rdiv; ring.
Qed.

Lemma linear_gap ws bs c (f : nat -> R) (g : positive -> Z) : fits at_ (CLinear ws bs c) = true ->
  (forall j, In j (map snd ws) -> 0 <= f (num j) <= real (g j)) ->
  over k (fun j => Rabs (exact_weights ws c j - coef (shares ws c) j) * f j) <=
  real (match c with None => 0 | Some _ => up (counted g ws) end).
Proof.
  intros Fi H. rewrite (over_ext k _ (fun j => Rabs (Rules.weight (map (fun x =>
    (match c with None => 0 | Some c => real (fst x) / real c - real (fst x * one / c) end,
      num (snd x))) ws) j) * f j))
    by (intros; now rewrite weight_difference).
  eapply Rle_trans.
  { apply weight_bound. intros y Hy. apply in_map_iff in Hy. destruct Hy as (x & <- & Hx). apply (H
      (snd x)), in_map, Hx. }
  rewrite map_map. cbn [fst snd]. destruct c as [c|].
  - cbn [fits over_fits] in Fi. rewrite !andb_true_iff, !Z.leb_le in Fi.
    destruct Fi as [_ [[Fi _] _]].
    assert (Nc : c <> 0%Z) by (unfold one in Fi; lia).
    apply Rle_trans with (2 := up_real _). unfold counted.
    set (G := fun x : Z * positive => (if fst x =? 0 then 0 else g (snd x))%Z).
    rewrite zsum_number, map_map.
    replace (total (map (fun x => IZR (G x)) ws) / 2 ^ 100 / 2 ^ 100) with (total (map (fun x =>
      real 1 * real (G x)) ws)).
    + apply total_map_le. intros x Hx. destruct (H (snd x) (in_map snd _ _ Hx)) as [P Q]. unfold G.
      destruct (Z.eqb_spec (fst x) 0) as [Z|_].
      * rewrite Z, Z.mul_0_l, Zdiv_0_l, real_0. unfold Rdiv.
        rewrite Rmult_0_l, Rminus_0_r, Rabs_R0. lra.
      * apply Rmult_le_compat; [apply Rabs_pos|exact P|now apply share_ok|exact Q].
    + rewrite (total_map_ext _ (fun x => / 2 ^ 100 * / 2 ^ 100 * IZR (G x))) by (intros;
        unfold real; lra).
      rewrite total_map_scale. field.
  - rewrite (total_map_ext _ (fun x => 0 * f (num (snd x)))) by (intros; now rewrite Rabs_R0).
    rewrite total_map_scale, real_0. lra.
Qed.

Lemma linear_weights ws bs c : (forall j, In j (map snd ws) -> (num j < k)%nat) ->
  affine k (denote (CLinear ws bs c)) (exact_weights ws c) (real (zsum bs)).
Proof.
  intros H v x. cbn [denote]. rewrite (sum_affine k).
  - unfold constants. now rewrite Convolution.constants_sum, zsum_real.
  - intros j Hj. unfold weighted, Convolution.weighted, entries in Hj. rewrite !map_map in Hj.
    apply in_map_iff in Hj.
    destruct Hj as (w & <- & Hw). now apply H, in_map.
Qed.
End Linear.
