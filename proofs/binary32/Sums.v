(** * The error of a sum of products, however it is evaluated

    - [sum_error]: any evaluation that Statement.v calls [sum] of terms [l], whose magnitudes add up
      to less than the overflow threshold, is finite and within [error l] (and one flush to zero) of
      the exact sum. So no partial result overflows either: the theorem holds for every tree.

    Rests on Terms.v. Stands behind [Layer.rounding] and [finite] of lastbit_check; what the checker
    computes from it is in Layers.v. *)

From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms.
Import ListNotations.
Open Scope R_scope.

(** An evaluation of [l] is finite, and but for one flush to zero within [error l] of the sum. *)
Theorem sum_error l v : sum l v -> size l + error l <= largest ->
  exists a p, v = Finite p /\ reads a p /\ Rabs (a - exact_sum l) <= error l.
Proof.
  induction 1 as [l Z|b v C|w x v N C|l1 l2 a b v N1 N2 _ IH1 _ IH2 C|w x l a v N _ IH C|l z a v Z _ IH C|l l' v P _ IH];
    intros Hl.
  - exists 0, 0. split; [reflexivity|]. split; [apply reads_refl|].
    rewrite (proj1 (vanish_sums l Z)), Rminus_0_r, Rabs_R0. apply error_pos.
  - destruct (C b eq_refl) as [p [Hp ->]]. exists b, p. split; [reflexivity|]. split; [exact Hp|].
    unfold exact_sum. simpl. replace (b - (b + 0)) with 0 by ring. rewrite Rabs_R0. apply error_pos.
  - destruct (C w x eq_refl eq_refl) as (w' & x' & Hw & Hx & Hv).
    destruct (reads_product _ _ _ _ Hw Hx) as [D A].
    assert (S1 : size [Product w x] = Rabs (w * x)) by (unfold size; simpl; unfold magnitude; simpl; lra).
    assert (E0 := error_pos [Product w x]).
    destruct Hv as (r & -> & Hr); [lra|]. exists r, r. split; [reflexivity|]. split; [apply reads_refl|].
    assert (u * Rabs (w' * x') <= u * Rabs (w * x)) by (apply Rmult_le_compat_l; [apply Rlt_le, u_pos|exact A]).
    assert (L : u * Rabs (w * x) + eta * (Rabs w + Rabs x + 2) <= error [Product w x]).
    { unfold error. assert (K := amplify 0 (length (live [Product w x])) _ (Nat.le_0_l _) (first_order_pos [Product w x])).
      rewrite pow_O, Rmult_1_l in K. apply Rle_trans with (2 := K). unfold first_order.
      cbn [map products_of flush_of total fold_right]. rewrite (nonzero_product _ _ N).
      unfold magnitude. cbn [exact].
      assert (0 <= u * worst (live [Product w x])) by (apply Rmult_le_pos; [apply Rlt_le, u_pos|apply worst_pos, live_nonneg]).
      assert (0 <= eta * INR (pred (length (live [Product w x])))) by (apply Rmult_le_pos; [apply Rlt_le, eta_pos|apply pos_INR]).
      lra. }
    unfold exact_sum. simpl. replace (r - (w * x + 0)) with ((r - w' * x') + (w' * x' - w * x)) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _). generalize eta_pos; lra.
  - assert (J := error_join l1 l2 N1 N2).
    assert (S12 : size (l1 ++ l2) = size l1 + size l2) by (unfold size; now rewrite map_app, total_app).
    assert (X12 : exact_sum (l1 ++ l2) = exact_sum l1 + exact_sum l2) by (unfold exact_sum; now rewrite map_app, total_app).
    generalize u_pos eta_pos (error_pos l1) (error_pos l2) (size_pos l1) (size_pos l2). intros Hu He P1 P2 Q1 Q2.
    assert (0 <= u * (error l1 + error l2)) by (apply Rmult_le_pos; lra).
    assert (0 <= u * (size l1 + size l2)) by (apply Rmult_le_pos; lra).
    destruct IH1 as (a0 & pa & -> & Ra & Ea); [lra|]. destruct IH2 as (b0 & pb & -> & Rb & Eb); [lra|].
    destruct (C pa pb eq_refl eq_refl) as (p' & q' & Rp & Rq & Hv).
    assert (Ra' := reads_trans _ _ _ Ra Rp). assert (Rb' := reads_trans _ _ _ Rb Rq).
    assert (Sum : Rabs (p' + q') <= largest).
    { apply Rle_trans with (1 := Rabs_triang _ _).
      assert (Aa := reads_abs _ _ Ra'). assert (Ab := reads_abs _ _ Rb').
      assert (Ta := Rabs_triang (a0 - exact_sum l1) (exact_sum l1)). assert (Tb := Rabs_triang (b0 - exact_sum l2) (exact_sum l2)).
      replace (a0 - exact_sum l1 + exact_sum l1) with a0 in Ta by ring.
      replace (b0 - exact_sum l2 + exact_sum l2) with b0 in Tb by ring.
      generalize (exact_sum_size l1) (exact_sum_size l2); lra. }
    destruct Hv as (r & -> & Hr); [exact Sum|]. exists r, r. split; [reflexivity|]. split; [apply reads_refl|].
    rewrite X12. apply Rle_trans with (2 := J).
    now apply (one_addition a0 b0 _ _ _ _ _ _ p' q' r Ea (exact_sum_size l1) Eb (exact_sum_size l2)).
  - assert (J := error_fma w x l N).
    assert (S12 : size (Product w x :: l) = Rabs (w * x) + size l) by reflexivity.
    assert (X12 : exact_sum (Product w x :: l) = w * x + exact_sum l) by reflexivity.
    generalize u_pos eta_pos (error_pos l) (size_pos l) (Rabs_pos (w * x)) (Rabs_pos w) (Rabs_pos x). intros Hu He P1 Q1 Qm Qw Qx.
    assert (0 <= u * error l) by (apply Rmult_le_pos; lra).
    assert (0 <= u * (Rabs (w * x) + size l)) by (apply Rmult_le_pos; lra).
    assert (0 <= eta * (Rabs w + Rabs x + 2)) by (apply Rmult_le_pos; lra).
    destruct IH as (a0 & pa & -> & Ra & Ea); [lra|].
    destruct (C pa eq_refl) as (w' & x' & p' & Hw & Hx & Rp & Hv).
    destruct (reads_product _ _ _ _ Hw Hx) as [D A]. assert (Ra' := reads_trans _ _ _ Ra Rp).
    assert (Aa : Rabs p' <= size l + error l).
    { apply Rle_trans with (1 := reads_abs _ _ Ra'). replace a0 with (a0 - exact_sum l + exact_sum l) by ring.
      apply Rle_trans with (1 := Rabs_triang _ _). generalize (exact_sum_size l); lra. }
    assert (T := Rabs_triang (w' * x') p').
    destruct Hv as (r & -> & Hr); [lra|]. exists r, r. split; [reflexivity|]. split; [apply reads_refl|].
    rewrite X12. apply Rle_trans with (2 := J).
    replace (r - (w * x + exact_sum l)) with
      ((r - (w' * x' + p')) + ((w' * x' - w * x) + ((p' - a0) + (a0 - exact_sum l)))) by ring.
    apply Rle_trans with (1 := Rabs_triang _ _). assert (T1 := Rabs_triang (w' * x' - w * x) (p' - a0 + (a0 - exact_sum l))).
    assert (T2 := Rabs_triang (p' - a0) (a0 - exact_sum l)). assert (e0 := reads_error _ _ Ra').
    assert (u * Rabs (w' * x' + p') <= u * (Rabs (w * x) + (size l + error l))) by (apply Rmult_le_compat_l; lra).
    lra.
  - destruct (vanish_sums z Z) as [X0 P0].
    assert (S12 : size (z ++ l) = size l).
    { rewrite <- !total_live, live_app, (proj1 (live_vanish z) Z). reflexivity. }
    assert (E12 : error l <= error (z ++ l)).
    { unfold error, first_order. rewrite live_app, (proj1 (live_vanish z) Z). cbn [app].
      rewrite !map_app, !total_app, P0. apply Rmult_le_compat_l; [generalize (pow_1u (length (live l))); lra|].
      assert (0 <= eta * total (map flush_of z)) by (apply Rmult_le_pos; [apply Rlt_le, eta_pos|apply flush_pos]). lra. }
    destruct IH as (a0 & pa & -> & Ra & Ea); [lra|]. destruct (C pa eq_refl) as (p' & Rp & ->).
    exists a0, p'. split; [reflexivity|]. split; [now apply reads_trans with pa|].
    unfold exact_sum in *. rewrite map_app, total_app, X0, Rplus_0_l. lra.
  - destruct (permuted _ _ P) as (EX & ES & EE). rewrite <- ES, <- EE in Hl. rewrite <- EX, <- EE.
    now apply IH.
Qed.
