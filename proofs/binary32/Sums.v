(** * The error of a sum of products, however it is evaluated

    - [sum_error]: any evaluation that Statement.v calls [sum] of terms [l], whose magnitudes add up
      to less than the overflow threshold, is finite and within [error c f l] (and one flush to zero) of
      the exact sum, if that is at most [f] and no partial sum is larger than [c]. So no partial result
      overflows either: the theorem holds for every tree.

    Rests on Additions.v. Stands behind [Layer.rounding] and [finite] of lastbit_check; what the checker
    computes from it is in Layers.v. *)

From Coq Require Import Reals Lra Lia List Permutation.
From Lastbit Require Import Statement Totals binary32.WorstTree binary32.Terms binary32.Additions.
Import ListNotations.
Open Scope R_scope.

Section Cap.
Variable c : R.
Hypothesis Hc : 0 <= c.

(** One product. *)
Lemma product_error f w x v : 0 <= f -> w * x <> 0 -> multiplies w x v ->
  size [Product w x] + error c f [Product w x] <= largest ->
  exists p, v = Finite p /\ Rabs (p - exact_sum [Product w x]) <= error c f [Product w x].
Proof.
  intros Hf N (w' & x' & Hw & Hx & Hv & Hs) Hl. assert (He := eta_pos). assert (Hu := u_pos).
  destruct (reads_product _ _ _ _ Hw Hx) as [D A].
  assert (S1 : size [Product w x] = Rabs (w * x)) by (unfold size; simpl; unfold magnitude; simpl; lra).
  assert (E0 := error_pos c Hc f [Product w x] Hf).
  assert (L : u * total (map products_of [Product w x]) + eta * (Rabs w + Rabs x + 2) <= error c f [Product w x]).
  { unfold error. assert (K := amplify 0 (length (live [Product w x])) _ (Nat.le_0_l _) (first_order_pos c Hc f [Product w x] Hf)).
    rewrite pow_O, Rmult_1_l in K. apply Rle_trans with (2 := K). unfold first_order.
    cbn [map flush_of total fold_right]. rewrite (nonzero_product _ _ N).
    assert (0 <= u * worst c f (live [Product w x])) by (apply Rmult_le_pos; [lra|apply worst_pos; [exact Hc|exact Hf|apply live_nonneg]]).
    assert (0 <= eta * (Rabs w + Rabs x)) by (apply Rmult_le_pos; [lra|generalize (Rabs_pos w) (Rabs_pos x); lra]).
    assert (0 <= eta * INR (pred (length (live [Product w x])))) by (apply Rmult_le_pos; [lra|apply pos_INR]).
    lra. }
  cbn [map products_of total fold_right] in L.
  assert (X1 : exact_sum [Product w x] = w * x) by (unfold exact_sum; simpl; ring). rewrite X1.
  assert (T : forall r, r - w * x = (r - w' * x') + (w' * x' - w * x)) by (intros; ring).
  destruct (scales w) eqn:Sc.
  - destruct (Hs (scales_power w Sc)) as (r & -> & Hr); [lra|]. exists r. split; [reflexivity|].
    rewrite T. apply Rle_trans with (1 := Rabs_triang _ _). lra.
  - destruct Hv as (r & -> & Hr); [lra|]. exists r. split; [reflexivity|].
    rewrite T. apply Rle_trans with (1 := Rabs_triang _ _).
    assert (u * Rabs (w' * x') <= u * Rabs (w * x)) by (apply Rmult_le_compat_l; lra).
    change (magnitude (Product w x)) with (Rabs (w * x)) in L. lra.
Qed.

(** An evaluation of [l] is finite, and but for one flush to zero within [error c f l] of the sum. *)
Theorem sum_error l v : sum l v -> forall f, bounded c l -> Rabs (exact_sum l) <= f ->
  size l + error c f l <= largest ->
  exists a p, v = Finite p /\ reads a p /\ Rabs (a - exact_sum l) <= error c f l.
Proof.
  induction 1 as [l Z|b v C|w x v N C|l1 l2 a b v N1 N2 _ IH1 _ IH2 C|w x l a v N Nl _ IH C|l z a v Z _ IH C|l l' v P _ IH];
    intros f Bd Hf Hl; assert (F0 : 0 <= f) by (apply Rle_trans with (2 := Hf), Rabs_pos).
  - exists 0, 0. split; [reflexivity|]. split; [apply reads_refl|].
    rewrite (proj1 (vanish_sums l Z)), Rminus_0_r, Rabs_R0. now apply error_pos.
  - destruct (C b eq_refl) as [p [Hp ->]]. exists b, p. split; [reflexivity|]. split; [exact Hp|].
    unfold exact_sum. simpl. replace (b - (b + 0)) with 0 by ring. rewrite Rabs_R0. now apply error_pos.
  - destruct (product_error f w x v F0 N C Hl) as (p & -> & Hp). exists p, p. split; [reflexivity|].
    split; [apply reads_refl|exact Hp].
  - assert (J := error_join c Hc f l1 l2 F0 N1 N2). destruct (bounded_app _ _ _ Bd) as [Bd1 Bd2].
    assert (F1 := part_sum c l1 Bd1). assert (F2 := part_sum c l2 Bd2).
    generalize u_pos eta_pos (error_pos c Hc _ l1 (part_pos c Hc l1)) (error_pos c Hc _ l2 (part_pos c Hc l2))
      (size_pos l1) (size_pos l2). intros Hu He P1 P2 Q1 Q2.
    rewrite size_app in Hl.
    assert (0 <= u * (error c (part c l1) l1 + error c (part c l2) l2)) by (apply Rmult_le_pos; lra).
    assert (0 <= u * f) by (apply Rmult_le_pos; lra).
    destruct (IH1 _ Bd1 F1) as (a0 & pa & -> & Ra & Ea); [lra|]. destruct (IH2 _ Bd2 F2) as (b0 & pb & -> & Rb & Eb); [lra|].
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
    rewrite exact_sum_app in *. apply Rle_trans with (2 := J).
    exact (one_addition a0 b0 _ _ _ _ _ _ f p' q' r Ea (exact_sum_size l1) Eb (exact_sum_size l2) Hf Ra' Rb' Hr).
  - assert (J := error_fma c Hc f w x l F0 N Nl). destruct (bounded_app c [Product w x] l Bd) as [_ Bd2].
    assert (F2 := part_sum c l Bd2).
    assert (S12 : size (Product w x :: l) = Rabs (w * x) + size l) by reflexivity.
    assert (X12 : exact_sum (Product w x :: l) = w * x + exact_sum l) by reflexivity.
    generalize u_pos eta_pos (error_pos c Hc _ l (part_pos c Hc l)) (size_pos l) (Rabs_pos (w * x)) (Rabs_pos w) (Rabs_pos x).
    intros Hu He P1 Q1 Qm Qw Qx.
    assert (0 <= u * error c (part c l) l) by (apply Rmult_le_pos; lra).
    assert (0 <= u * f) by (apply Rmult_le_pos; lra).
    assert (0 <= eta * (2 * (Rabs w + Rabs x) + 4)) by (apply Rmult_le_pos; lra).
    destruct (IH _ Bd2 F2) as (a0 & pa & -> & Ra & Ea); [lra|].
    destruct (C pa eq_refl) as (w' & x' & p' & Hw & Hx & Rp & Hv).
    destruct (reads_product _ _ _ _ Hw Hx) as [D A]. assert (Ra' := reads_trans _ _ _ Ra Rp).
    assert (Aa : Rabs p' <= size l + error c (part c l) l).
    { apply Rle_trans with (1 := reads_abs _ _ Ra'). replace a0 with (a0 - exact_sum l + exact_sum l) by ring.
      apply Rle_trans with (1 := Rabs_triang _ _). generalize (exact_sum_size l); lra. }
    assert (T := Rabs_triang (w' * x') p').
    destruct Hv as (r & -> & Hr); [lra|]. exists r, r. split; [reflexivity|]. split; [apply reads_refl|].
    rewrite X12 in *. apply Rle_trans with (2 := J).
    assert (T1 := Rabs_triang (w' * x' - w * x) (p' - a0 + (a0 - exact_sum l))).
    assert (T2 := Rabs_triang (p' - a0) (a0 - exact_sum l)). assert (e0 := reads_error _ _ Ra').
    set (d := w' * x' - w * x + (p' - a0 + (a0 - exact_sum l))) in *.
    assert (Hd : w' * x' + p' = d + (w * x + exact_sum l)) by (unfold d; ring).
    replace (r - (w * x + exact_sum l)) with ((r - (w' * x' + p')) + d) by (unfold d; ring).
    apply Rle_trans with (1 := Rabs_triang _ _).
    (* the product of the operands read is no larger than that of the operands *)
    assert (A' : Rabs (w' * x' + p') <= f + (eta * (Rabs w + Rabs x) + eta + error c (part c l) l)).
    { rewrite Hd. apply Rle_trans with (1 := Rabs_triang _ _). lra. }
    assert (u * Rabs (w' * x' + p') <= u * (f + (eta * (Rabs w + Rabs x) + eta + error c (part c l) l)))
      by (apply Rmult_le_compat_l; lra).
    assert (U1 : u <= / 16) by (unfold u; lra).
    assert (u * (eta * (Rabs w + Rabs x) + eta) <= / 16 * (eta * (Rabs w + Rabs x) + eta)).
    { apply Rmult_le_compat_r; [|exact U1]. assert (0 <= eta * (Rabs w + Rabs x)) by (apply Rmult_le_pos; lra). lra. }
    lra.
  - destruct (vanish_sums z Z) as [X0 P0]. destruct (bounded_app _ _ _ Bd) as [_ Bd2].
    assert (S12 : size (z ++ l) = size l).
    { rewrite <- !total_live, live_app, (proj1 (live_vanish z) Z). reflexivity. }
    assert (E12 : error c f l <= error c f (z ++ l)).
    { unfold error, first_order. rewrite live_app, (proj1 (live_vanish z) Z). cbn [app].
      rewrite !map_app, !total_app, P0. apply Rmult_le_compat_l; [generalize (pow_1u (length (live l))); lra|].
      assert (0 <= eta * total (map flush_of z)) by (apply Rmult_le_pos; [apply Rlt_le, eta_pos|apply flush_pos]). lra. }
    rewrite exact_sum_app, X0, Rplus_0_l in *.
    destruct (IH f Bd2 Hf) as (a0 & pa & -> & Ra & Ea); [lra|]. destruct (C pa eq_refl) as (p' & Rp & ->).
    exists a0, p'. split; [reflexivity|]. split; [now apply reads_trans with pa|]. lra.
  - destruct (sums_perm _ _ P) as (EX & ES). assert (EE := error_perm c f _ _ P). rewrite <- ES, <- EE in Hl. rewrite <- EX, <- EE in *.
    apply IH; try assumption. now apply (bounded_perm c l').
Qed.
End Cap.
